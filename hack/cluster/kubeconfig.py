"""Writes kubeconfig files that carry their certificates, so that one file can be copied and used anywhere."""

import base64
import json
from pathlib import Path


def write_kubeconfig(path: Path, pki: Path, identity: str, server: str) -> None:
    """Write a kubeconfig for the client certificate `identity` and the API server at `server` (a URL).

    JSON is YAML, and every reader of kubeconfig files takes it. The file is readable by its owner only.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "modelservice",
                "cluster": {"server": server, "certificate-authority-data": _encode(pki / "ca.crt")},
            }
        ],
        "users": [
            {
                "name": identity,
                "user": {
                    "client-certificate-data": _encode(pki / f"{identity}.crt"),
                    "client-key-data": _encode(pki / f"{identity}.key"),
                },
            }
        ],
        "contexts": [{"name": "modelservice", "context": {"cluster": "modelservice", "user": identity}}],
        "current-context": "modelservice",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(document, indent=1))
    temporary.rename(path)


def _encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
