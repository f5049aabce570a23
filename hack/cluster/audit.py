"""What the API server notes of the requests of service accounts: who asked for what, and whether he might.

Tests read it to learn which rights our components use. Left out is who has a certificate, and so are the
controllers of Kubernetes: they would only make the file long.
"""

import json
from collections.abc import Iterator
from typing import Any

from hack.cluster.paths import ClusterPaths

Event = dict[str, Any]

# https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A watch is noted when it begins, so that it counts while it lasts.
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
    ],
}


def write_policy(paths: ClusterPaths) -> None:
    """Write what the API server reads when it starts."""
    paths.audit_policy.parent.mkdir(parents=True, exist_ok=True)
    paths.audit_policy.write_text(json.dumps(POLICY))


def read_events(paths: ClusterPaths) -> Iterator[Event]:
    """Yield the requests of service accounts so far, oldest first; a line being written is left out."""
    for file in sorted(paths.root.glob("audit*.log")):  # "audit-" and a time, for those that were full
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)
