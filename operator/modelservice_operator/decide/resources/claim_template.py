"""The ResourceClaimTemplate of a revision whose pods get a device by dynamic resource allocation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import Owner, build_metadata
from modelservice_operator.decide.resources.pod.sizing import GPU_CLAIM
from modelservice_operator.decide.runtimes import RuntimeProblem
from modelservice_operator.facts import names
from modelservice_operator.facts.kinds import CLAIM_TEMPLATES

if TYPE_CHECKING:
    from modelservice_operator.api import GpuSpec
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.facts.observed import ClusterFacts


def build_claim_template(owner: Owner, revision: Revision) -> dict[str, Any] | None:
    """Return the template that the pods of the revision name; None where they have no claim.

    Its spec never changes, here as in Kubernetes: it is what the revision's inputs say.
    """
    claim = (revision.snapshot.inputs.get("gpu") or {}).get("claim")
    if claim is None:
        return None
    selectors = {"selectors": claim["selectors"]} if claim.get("selectors") else {}
    # With what the API server would add: the list belongs to its writer as a whole.
    counted = {"allocationMode": "ExactCount", "count": 1}
    device = {"deviceClassName": claim["deviceClassName"], **selectors, **counted}
    return {
        "apiVersion": CLAIM_TEMPLATES.api_version,
        "kind": CLAIM_TEMPLATES.kind,
        "metadata": build_metadata(owner, names.of_revision(owner.name, revision.name), revision.name),
        "spec": {"spec": {"devices": {"requests": [{"name": GPU_CLAIM, "exactly": device}]}}},
    }


def find_obstacle(gpu: GpuSpec | None, cluster: ClusterFacts) -> RuntimeProblem | None:
    """Return why the cluster knows no such claims, None where it does or nobody asks for one."""
    if gpu is None or gpu.claim is None or CLAIM_TEMPLATES.kind in cluster.kinds:
        return None
    if CLAIM_TEMPLATES.kind in cluster.forbidden:
        why = "the operator may not write ResourceClaimTemplates: give it that right (the chart does)"
    else:
        why = (
            f"the cluster does not serve {CLAIM_TEMPLATES.api_version}, which comes with Kubernetes 1.34: "
            "ask for an extended resource in spec.gpu.resource instead"
        )
    return RuntimeProblem(reason="ClaimsNotServed", message=f"spec.gpu.claim is set, but {why}.")
