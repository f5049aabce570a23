"""KEDA's CRD in a cluster, without KEDA: what is installed first and removed last."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster.api import condition_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.api import Api

VERSION = "v2.21.0"
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"
_MODULE = Path.home() / f"go/pkg/mod/cache/download/github.com/kedacore/keda/v2/@v/{VERSION}.zip"
_FILE = f"github.com/kedacore/keda/v2@{VERSION}/config/crd/bases/keda.sh_scaledobjects.yaml"


def load_crd() -> dict[str, Any]:
    """Return KEDA's own CRD where its Go module was downloaded, else one that takes the same objects."""
    if not _MODULE.exists():
        return _similar_crd()
    with zipfile.ZipFile(_MODULE) as module:
        found: dict[str, Any] = yaml.safe_load(module.read(_FILE))
    return found


@contextmanager
def keda_crd(api: Api) -> Iterator[None]:
    """Serve ScaledObjects; they go with the CRD at the end."""
    api.apply(load_crd())
    api.wait_for(PATH, lambda found: condition_status(found, "Established") == "True", what="established")
    try:
        yield
    finally:
        remove_crd(api)


def remove_crd(api: Api) -> None:
    """Remove the CRD with all ScaledObjects."""
    if api.find(PATH) is not None:
        api.delete(PATH)
        api.wait_gone(PATH)


def _similar_crd() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    trigger = {
        "type": "object",
        "required": ["type", "metadata"],
        "properties": {
            "type": text,
            "metricType": text,
            "metadata": {"type": "object", "additionalProperties": text},
        },
    }
    spec = {
        "type": "object",
        "required": ["scaleTargetRef", "triggers"],
        "properties": {
            "scaleTargetRef": {
                "type": "object",
                "properties": {"apiVersion": text, "kind": text, "name": text},
            },
            "triggers": {"type": "array", "items": trigger},
            "advanced": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            **dict.fromkeys(("minReplicaCount", "maxReplicaCount", "pollingInterval"), number),
            **dict.fromkeys(("cooldownPeriod", "initialCooldownPeriod"), number),
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]},
    }
