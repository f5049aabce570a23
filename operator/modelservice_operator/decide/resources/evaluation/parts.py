"""What the Job's pod takes over of the pods of a revision: its recorded template. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.pod.adapters import adapter_uris
from modelservice_operator.decide.resources.pod.model_source import MODEL_DIRECTORY
from modelservice_operator.facts.names import FETCH_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.revision import Snapshot

Object = dict[str, Any]

STABLE_DIRECTORY = "/mnt/stable"
_STABLE = "stable-"
_SHARED = ("tmp",)
"""Volumes that both models' containers use."""
_NOT_OF_A_JOB = frozenset(
    {
        "containers",
        "initContainers",
        "volumes",
        "terminationGracePeriodSeconds",
        "topologySpreadConstraints",
        "resourceClaims",
    }
)
"""Of a pod: what is the server's own, and what spreads servers."""


class ModelParts(msgspec.Struct, frozen=True, kw_only=True):
    """How a model comes into a pod, and what opens it: `path` within the container's `mount`."""

    path: str
    mount: Object
    volumes: list[Object]
    fetch: list[Object] = msgspec.field(default_factory=list)


def server_of(snapshot: Snapshot) -> Mapping[str, Any]:
    """Return the server's container of the recorded template."""
    containers = snapshot.template["spec"]["containers"]
    return next(one for one in containers if one["name"] == SERVER_CONTAINER)


def pod_fields(snapshot: Snapshot) -> Object:
    """Return what the Job's pod has in common with the revision's pods: account, security, placement."""
    return {name: value for name, value in snapshot.template["spec"].items() if name not in _NOT_OF_A_JOB}


def resources_of(snapshot: Snapshot) -> Object:
    """Return CPU, memory and disk of the server; the Job scores on the CPU and takes no device."""
    resources = server_of(snapshot).get("resources") or {}
    amounts = {
        kind: {name: amount for name, amount in (resources.get(kind) or {}).items() if "/" not in name}
        for kind in ("requests", "limits")
    }
    return {kind: wanted for kind, wanted in amounts.items() if wanted}


def candidate_parts(snapshot: Snapshot) -> ModelParts:
    """Return the parts of the new model, under their own names."""
    return _parts(snapshot, prefix="", directory=MODEL_DIRECTORY)


def stable_parts(snapshot: Snapshot) -> ModelParts:
    """Return the parts of the old model, under names that stand beside those of the new one."""
    return _parts(snapshot, prefix=_STABLE, directory=STABLE_DIRECTORY)


def argument(snapshot: Snapshot, flag: str) -> str | None:
    """Return the value of an argument of the server, None where it has none."""
    args = list(server_of(snapshot).get("args") or ())
    return args[args.index(flag) + 1] if flag in args[:-1] else None


def _parts(snapshot: Snapshot, *, prefix: str, directory: str) -> ModelParts:
    pod = snapshot.template["spec"]
    fetch = [one for one in pod.get("initContainers") or () if one["name"] == FETCH_CONTAINER]
    wanted = {"model"} | {
        mount["name"] for one in fetch for mount in one["volumeMounts"] if mount["name"] not in _SHARED
    }
    served = (argument(snapshot, "--model") or "").partition("=")[2]
    return ModelParts(
        path=directory + served.removeprefix(MODEL_DIRECTORY),
        mount={"name": f"{prefix}model", "mountPath": directory, "readOnly": True},
        volumes=[
            {**volume, "name": prefix + volume["name"]}
            for volume in pod.get("volumes") or ()
            if volume["name"] in wanted
        ],
        fetch=[_renamed(one, prefix) for one in fetch],
    )


def _renamed(container: Object, prefix: str) -> Object:
    mounts = [
        mount if mount["name"] in _SHARED else {**mount, "name": prefix + mount["name"]}
        for mount in container["volumeMounts"]
    ]
    return {**container, "name": prefix + container["name"], "volumeMounts": mounts}


def fetched_uris(pod: Mapping[str, Any]) -> list[str]:
    """Return the addresses that the pod's init containers load something from over the network."""
    args = [list(one.get("args") or ()) for one in pod.get("initContainers") or ()]
    found = [one[one.index("--uri") + 1] for one in args if "--uri" in one[:-1]]
    found += [uri for one in args for uri in adapter_uris(one)]
    return [uri for uri in found if not uri.startswith("file://")]
