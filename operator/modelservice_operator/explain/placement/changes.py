"""What a person could change so that some nodes would do: each change makes another pod spec. Pure."""

from __future__ import annotations

import copy
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.resources.pod.gpu_nodes import memory_requirements, resource_tolerations
from modelservice_operator.explain.placement.needs import (
    CORDON,
    GPU_LABELS,
    REQUIRED,
    Need,
    PodSpec,
    amount_of,
    asks_device,
    split_affinity,
    untolerated,
)
from modelservice_operator.facts.gpus import AMD, NVIDIA, VENDORS, domain_of, mig_profile
from modelservice_operator.facts.text.quantity import canonical_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modelservice_operator.facts.nodes import Node, Taint

_GIB = 1024
"""MiB."""
_OF_A_NODE_THAT_IS_ILL = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")


class Change(msgspec.Struct, frozen=True):
    """One change, in words of the API, and the pod spec that it makes."""

    text: str
    pod: PodSpec


def memory_mebibytes(key: str, labels: Mapping[str, str]) -> int | None:
    """Return a GPU's memory by a node's label; None where it does not say."""
    value = labels.get(key, "")
    number = value.removesuffix("G") if key == AMD.memory_label else value
    return int(number) * (_GIB if key == AMD.memory_label else 1) if number.isdecimal() else None


def change_for(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change | None:
    """Return how to do without the need on these nodes, which lack it all; None where nothing helps."""
    return _CHANGES[need.kind](need, pod, nodes)


def tolerate(pod: PodSpec, taints: Sequence[Taint]) -> Change:
    """Return the pod with tolerations of these taints."""
    added = [
        {"key": one.key, "operator": "Equal", "value": one.value, "effect": one.effect} for one in taints
    ]
    names = " and ".join(one.text for one in taints)
    return Change(
        f"a toleration of {names}", {**pod, "tolerations": [*(pod.get("tolerations") or ()), *added]}
    )


def _resource(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change | None:
    if "/" in need.key:
        return _other_resource(need, pod, nodes)
    largest = max((amount_of(node, need.key) for node in nodes), default=Decimal(0))
    if not largest:
        return None
    amount = canonical_quantity(f"{largest:f}")
    return Change(
        f"spec.resources.requests.{need.key} of at most {readable_amount(largest)}",
        _with_amount(pod, need.key, need.key, amount),
    )


def _other_resource(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change | None:
    """A GPU of another kind; what is said of the GPU's labels would not be true of it."""
    demands, _ = split_affinity(pod)
    if demands or any(key in GPU_LABELS for key in pod.get("nodeSelector") or {}):
        return None
    domains = {vendor.domain for vendor in VENDORS}
    offered = Counter(
        name
        for node in nodes
        for name in sorted(node.allocatable)
        if domain_of(name) in domains and amount_of(node, name) >= Decimal(need.wanted)
    )
    if not offered:
        return None
    # Of the same vendor rather than of another, then what most nodes have.
    name = max(offered, key=lambda one: (domain_of(one) == domain_of(need.key), offered[one], one))
    profile = mig_profile(name)
    text = f"spec.gpu.migProfile: {profile}" if profile else f"spec.gpu.resource: {name}"
    # A profile counts for more than the resource that stands beside it.
    replaced = " in place of the MIG profile" if not profile and mig_profile(need.key) else ""
    tolerations = [*(pod.get("tolerations") or ()), *resource_tolerations(name)]
    changed = {**_with_amount(pod, need.key, name, need.wanted), "tolerations": tolerations}
    return Change(text + replaced, changed)


def _memory(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change | None:
    largest = max((memory_mebibytes(need.key, node.labels) or 0 for node in nodes), default=0)
    gibibytes = largest // _GIB
    if not gibibytes:
        return Change("no spec.gpu.memory", _with_demands(pod, need.key, []))
    vendor = AMD if need.key == AMD.memory_label else NVIDIA
    demands = memory_requirements(vendor, Decimal(gibibytes << 30))
    return Change(f"spec.gpu.memory: {gibibytes}Gi", _with_demands(pod, need.key, demands))


def _product(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:
    """The one that is asked for, written in another way or shared; else the one of most nodes."""
    if not asks_device(pod):
        return _label(need, pod, nodes)
    selected = (pod.get("nodeSelector") or {}).get(need.key)
    if selected is not None and any(one["key"] == need.key for one in split_affinity(pod)[0]):
        kept = {name: value for name, value in pod["nodeSelector"].items() if name != need.key}
        text = f"a spec.scheduling.nodeSelector without {need.key}={selected}"
        return Change(text, {**pod, "nodeSelector": kept})
    found = Counter(node.labels[need.key] for node in nodes if need.key in node.labels)
    wanted = [_words(one) for one in need.wanted.split(", ")]
    alike = [one for one in found if any(_words(one) <= words or words <= _words(one) for words in wanted)]
    product = max(alike or found, key=lambda one: (found[one], one), default=None)
    if product is None:
        return Change("no spec.gpu.product", _without_label(pod, need.key))
    demand = {"key": need.key, "operator": "In", "values": [product]}
    if need.key in (pod.get("nodeSelector") or {}):
        changed = {**pod, "nodeSelector": {**pod["nodeSelector"], need.key: product}}
        return Change(f"spec.gpu.product: {product}", changed)
    return Change(f"spec.gpu.products: [{product}]", _with_demands(pod, need.key, [demand]))


def _words(product: str) -> frozenset[str]:
    return frozenset(re.split("[-_.]", product.casefold()))


def _sharing(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:  # noqa: ARG001  one signature for all
    return Change("no spec.gpu.sharing", _with_demands(pod, need.key, []))


def _label(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:  # noqa: ARG001
    text = f"a spec.scheduling.nodeSelector without {need.key}={need.wanted}"
    return Change(text, _without_label(pod, need.key))


def _affinity(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:  # noqa: ARG001
    demands, _ = split_affinity(pod)
    terms = [{"matchExpressions": demands}] if demands else []
    return Change("no required nodeAffinity in spec.scheduling", _with_terms(pod, terms))


def _taint(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:  # noqa: ARG001
    """The taints of most nodes."""
    found = Counter(untolerated(pod, node) for node in nodes)
    _, _, most = max((count, [one.text for one in taints], taints) for taints, count in found.items())
    return tolerate(pod, most)


def _cordon(need: Need, pod: PodSpec, nodes: Sequence[Node]) -> Change:  # noqa: ARG001
    return Change("kubectl uncordon", tolerate(pod, [CORDON]).pod)


_CHANGES: dict[str, Callable[[Need, PodSpec, Sequence[Node]], Change | None]] = {
    "Resource": _resource,
    "Memory": _memory,
    "Product": _product,
    "Sharing": _sharing,
    "Label": _label,
    "Affinity": _affinity,
    "Taint": _taint,
    "Cordon": _cordon,
}


def readable_amount(amount: Decimal) -> str:
    """Return a resource's amount as people write it, rounded down: 100Gi, 31.4Gi, 512Mi, 16 cores as 16."""
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20)):
        if amount >= size:
            return f"{amount * 10 // size / 10:f}{unit}"
    return canonical_quantity(f"{amount:f}")


def is_ill(taint: Taint) -> bool:
    """Whether the taint says that its node is not well: it is there for a reason."""
    return taint.key.startswith(_OF_A_NODE_THAT_IS_ILL)


def is_of_gpus(taint: Taint) -> bool:
    """Whether the taint keeps pods without a GPU off those that have one."""
    return any(domain_of(taint.key) == vendor.domain for vendor in VENDORS)


def _without_label(pod: PodSpec, key: str) -> PodSpec:
    kept = {name: value for name, value in (pod.get("nodeSelector") or {}).items() if name != key}
    return _with_demands({**pod, "nodeSelector": kept}, key, [])


def _with_demands(pod: PodSpec, key: str, demands: Sequence[Mapping[str, Any]]) -> PodSpec:
    """Put these demands of a label in the place of those that there are; what says nothing is left out."""
    old, own = split_affinity(pod)
    wanted = [*(one for one in old if one["key"] != key), *demands]
    terms = [{**term, "matchExpressions": [*term["matchExpressions"], *wanted]} for term in own]
    return _with_terms(pod, terms or ([{"matchExpressions": wanted}] if wanted else []))


def _with_terms(pod: PodSpec, terms: Sequence[Mapping[str, Any]]) -> PodSpec:
    affinity = pod.get("affinity") or {}
    node = {name: one for name, one in (affinity.get("nodeAffinity") or {}).items() if name != REQUIRED}
    if terms:
        node[REQUIRED] = {"nodeSelectorTerms": [*terms]}
    return {**pod, "affinity": {**affinity, "nodeAffinity": node}}


def _with_amount(pod: PodSpec, name: str, new_name: str, amount: str) -> PodSpec:
    """The pod in which its first container alone asks for some: so much, of this or of another resource."""
    changed = copy.deepcopy(dict(pod))
    for container in (*(changed.get("initContainers") or ()), *(changed.get("containers") or ())):
        for amounts in (container.get("resources") or {}).values():
            if isinstance(amounts, dict):
                amounts.pop(name, None)
    resources = changed["containers"][0].setdefault("resources", {})
    for kind in ("requests", "limits") if "/" in name else ("requests",):
        resources[kind] = {**(resources.get(kind) or {}), new_name: amount}
    return changed
