"""On which nodes the pods may run: GPUs, selectors, tolerations, affinity and spreading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import revision_selector
from modelservice_operator.decide.resources.pod.gpu_nodes import (
    gpu_node_selector,
    gpu_preferences,
    gpu_requirements,
    gpu_tolerations,
)
from modelservice_operator.decide.resources.trim import without_empty

if TYPE_CHECKING:
    from modelservice_operator.api import ModelServiceSpec

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_SPREAD_OVER = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
_WHEN_UNSATISFIABLE = {"Preferred": "ScheduleAnyway", "Required": "DoNotSchedule"}


def scheduling_fields(service: str, revision: str, spec: ModelServiceSpec) -> dict[str, Any]:
    """Return the fields of a pod spec that place the pod; empty ones are left out."""
    wanted = spec.scheduling
    fields = {
        "nodeSelector": {**gpu_node_selector(spec.gpu), **wanted.node_selector},
        "tolerations": _tolerations(spec),
        "affinity": _affinity(spec),
        "priorityClassName": wanted.priority_class_name,
        "topologySpreadConstraints": _spread(service, revision, wanted.topology_spread),
    }
    return {name: value for name, value in fields.items() if value}


def _affinity(spec: ModelServiceSpec) -> dict[str, Any]:
    """The user's affinity, and what the GPU demands of a node: in each term, for one of them must hold."""
    wanted = spec.scheduling.affinity
    affinity: dict[str, Any] = without_empty(wanted.to_dict()) if wanted else {}
    demands, preferences = gpu_requirements(spec.gpu), gpu_preferences(spec.gpu)
    selected = spec.scheduling.node_selector
    # Who selects another product, too, wants both: no node will do, which is told.
    demands += [
        {"key": label, "operator": "In", "values": [product]}
        for label, product in gpu_node_selector(spec.gpu).items()
        if selected.get(label, product) != product
    ]
    if not demands and not preferences:
        return affinity
    node = affinity.get("nodeAffinity", {})
    if demands:
        terms = node.get(_REQUIRED, {}).get("nodeSelectorTerms") or [{}]
        node = {**node, _REQUIRED: {"nodeSelectorTerms": [_with_demands(term, demands) for term in terms]}}
    if preferences:
        node = {**node, _PREFERRED: [*node.get(_PREFERRED, ()), *preferences]}
    return {**affinity, "nodeAffinity": node}


def _with_demands(term: dict[str, Any], demands: list[dict[str, Any]]) -> dict[str, Any]:
    return {**term, "matchExpressions": [*term.get("matchExpressions", ()), *demands]}


def _tolerations(spec: ModelServiceSpec) -> list[dict[str, Any]]:
    wanted = [
        {key: value for key, value in toleration.to_dict().items() if value != ""}
        for toleration in spec.scheduling.tolerations
    ]
    return wanted + [taint for taint in gpu_tolerations(spec.gpu) if taint not in wanted]


def _spread(service: str, revision: str, mode: str) -> list[dict[str, Any]]:
    if mode not in _WHEN_UNSATISFIABLE:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": _WHEN_UNSATISFIABLE[mode],
            "labelSelector": {"matchLabels": revision_selector(service, revision)},
        }
        for key in _SPREAD_OVER
    ]
