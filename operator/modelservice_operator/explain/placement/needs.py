"""What a pod needs of a node, as Kubernetes' scheduler reads it: resources, labels, tolerations. Pure.

Source: Kubernetes documentation, "Assigning Pods to Nodes" and "Taints and Tolerations". What depends on
other pods (free room, spreading, affinity to pods, volumes) is left to the scheduler's own sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import msgspec

from modelservice_operator.facts.gpus import SHARING_LABEL, VENDORS
from modelservice_operator.facts.nodes import Node, Taint
from modelservice_operator.facts.text.quantity import parse_quantity

Kind = Literal["Resource", "Memory", "Product", "Sharing", "Label", "Affinity", "Taint", "Cordon"]
PodSpec = Mapping[str, Any]
Expression = Mapping[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
GPU_LABELS: dict[str, Kind] = {
    **{vendor.memory_label: "Memory" for vendor in VENDORS if vendor.memory_label},
    **{vendor.product_label: "Product" for vendor in VENDORS},
    SHARING_LABEL: "Sharing",
}
_PLAIN = ("cpu", "memory", "ephemeral-storage")


class Need(msgspec.Struct, frozen=True):
    """One condition on a node; `key` is the resource or the label that it is about."""

    kind: Kind
    key: str
    wanted: str
    holds: Callable[[Node], bool]


def needs_of(pod: PodSpec) -> list[Need]:
    """Return the needs of a pod spec: what makes a node a GPU's first, what people ruled last."""
    demands, terms = split_affinity(pod)
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for one in demands:
        by_key.setdefault(one["key"], []).append(one)
    labels = (pod.get("nodeSelector") or {}).items()
    return [
        *(_resource(name, amount) for name, amount in requests_of(pod).items()),
        *(_labelled(key, found) for key, found in by_key.items()),
        *(_equal(key, value) for key, value in sorted(labels, key=lambda one: one[0] not in GPU_LABELS)),
        *([Need("Affinity", "", "", lambda node: _any_term(terms, node))] if terms else []),
        Need("Taint", "", "", lambda node: not untolerated(pod, node)),
        Need("Cordon", "", "", lambda node: not node.is_cordoned or _is_tolerated(pod, CORDON)),
    ]


def requests_of(pod: PodSpec) -> dict[str, Decimal]:
    """Return what the pod asks for, extended resources first: its containers together, or one before them."""
    together: dict[str, Decimal] = {}
    for container in pod.get("containers") or ():
        for name, amount in _asked(container).items():
            together[name] = together.get(name, Decimal(0)) + amount
    for container in pod.get("initContainers") or ():
        for name, amount in _asked(container).items():
            together[name] = max(together.get(name, Decimal(0)), amount)
    wanted = {name: amount for name, amount in together.items() if amount}
    return dict(sorted(wanted.items(), key=lambda one: (one[0] in _PLAIN, one[0])))


def asks_device(pod: PodSpec) -> bool:
    """Whether the pod is for nodes with devices, such as GPUs: by a resource or a claim."""
    return any("/" in name for name in requests_of(pod)) or bool(pod.get("resourceClaims"))


def _asked(container: Mapping[str, Any]) -> dict[str, Decimal]:
    """A limit is a request where there is none."""
    resources = container.get("resources") or {}
    amounts = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(str(amount)) for name, amount in amounts.items()}


def split_affinity(pod: PodSpec) -> tuple[list[Expression], list[Expression]]:
    """Return (what a GPU demands in every term, the user's terms without it, none where that is nothing)."""
    terms = _terms(pod)
    every = [list(term.get("matchExpressions") or ()) for term in terms]
    demands = [
        one
        for one in (every[0] if every else ())
        if one["key"] in GPU_LABELS and all(one in expressions for expressions in every)
    ]
    own: list[Expression] = [
        {**term, "matchExpressions": [one for one in expressions if one not in demands]}
        for term, expressions in zip(terms, every, strict=True)
    ]
    says_nothing = demands and any(_is_empty(term) for term in own)
    return demands, [] if says_nothing else own


def amount_of(node: Node, resource: str) -> Decimal:
    """Return how much of a resource the node has for pods."""
    return _parse(node.allocatable.get(resource, "0"))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Decimal:
    """Thousands of nodes have the same few amounts."""
    return parse_quantity(text)


def untolerated(pod: PodSpec, node: Node) -> tuple[Taint, ...]:
    """Return the taints that keep the pod off the node; a cordon is told apart."""
    return tuple(
        taint
        for taint in node.taints
        if taint.effect in ("NoSchedule", "NoExecute")
        and taint.key != CORDON.key
        and not _is_tolerated(pod, taint)
    )


def _terms(pod: PodSpec) -> list[Mapping[str, Any]]:
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    return list((affinity.get(REQUIRED) or {}).get("nodeSelectorTerms") or ())


def _is_empty(term: Mapping[str, Any]) -> bool:
    return not term.get("matchExpressions") and not term.get("matchFields")


def _resource(name: str, wanted: Decimal) -> Need:
    return Need("Resource", name, f"{wanted:f}", lambda node: amount_of(node, name) >= wanted)


def _labelled(key: str, expressions: list[Mapping[str, Any]]) -> Need:
    kind = GPU_LABELS[key]
    values = [str(value) for one in expressions for value in one.get("values") or ()]
    wanted = _wanted_memory(values) if kind == "Memory" else ", ".join(values)
    return Need(kind, key, wanted, lambda node: all(_matches(one, node.labels) for one in expressions))


def _wanted_memory(values: list[str]) -> str:
    """What `gpu_nodes.memory_requirements` was asked for, rounded up; its values are those just too small."""
    numbers = [int(one.removesuffix("G")) + 1 for one in values if one.removesuffix("G").isdecimal()]
    gibibytes = any(one.endswith("G") for one in values) or not numbers
    tenths = math.ceil(10 * max(numbers, default=1) / (1 if gibibytes else 1024))
    return f"{tenths / 10:g}Gi"


def _equal(key: str, value: str) -> Need:
    return Need(GPU_LABELS.get(key, "Label"), key, value, lambda node: node.labels.get(key) == value)


def _any_term(terms: list[Mapping[str, Any]], node: Node) -> bool:
    return any(_term_matches(term, node) for term in terms)


def _term_matches(term: Mapping[str, Any], node: Node) -> bool:
    """An empty term matches nothing."""
    fields = {"metadata.name": node.name}
    return not _is_empty(term) and (
        all(_matches(one, node.labels) for one in term.get("matchExpressions") or ())
        and all(_matches(one, fields) for one in term.get("matchFields") or ())
    )


def _matches(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or []
    operator = str(requirement["operator"])
    if operator in ("Gt", "Lt"):
        return _compares(operator, value, values)
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) is (operator == "Exists")
    return (value in values) is (operator == "In")


def _compares(operator: str, value: str | None, values: list[str]) -> bool:
    try:
        there, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return there > bound if operator == "Gt" else there < bound


def _is_tolerated(pod: PodSpec, taint: Taint) -> bool:
    return any(_tolerates(one, taint) for one in pod.get("tolerations") or ())


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in ("", taint.key)
    return bool(key == taint.key and (toleration.get("value") or "") == taint.value)
