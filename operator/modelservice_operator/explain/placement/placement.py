"""One sentence for a pod that no node can take: what is missing on how many nodes, and what is nearest. Pure.

A node counts once, for the first need that it does not meet, in the order of `needs_of`. Nearest are the
nodes for which least has to change; the change that is proposed is made to a copy of the pod's spec and tried
on all of them, so the number behind it is one that was counted.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from modelservice_operator.explain.placement.changes import (
    change_for,
    is_ill,
    is_of_gpus,
    memory_mebibytes,
    readable_amount,
    tolerate,
)
from modelservice_operator.explain.placement.needs import Need, PodSpec, asks_device, needs_of, untolerated
from modelservice_operator.facts.gpus import AMD, NVIDIA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.facts.nodes import Node, Taint

_MOST_REASONS = 5


class Nearest(msgspec.Struct, frozen=True):
    """Changes after which nodes would do."""

    changes: tuple[str, ...]
    pod: PodSpec
    nodes: int
    more_nodes: int = 0
    """That would do too with `toleration`."""
    toleration: str = ""


class Placement(msgspec.Struct, frozen=True):
    """How many nodes could run the pod, had they room; where none could, why and what would help."""

    nodes: int
    fitting: int
    reasons: tuple[tuple[int, str], ...] = ()
    """How many nodes lack what; together they are all nodes."""
    nearest: Nearest | None = None

    @property
    def sentence(self) -> str:
        """What to tell a person where no node will do."""
        which = "The only node does not fit" if self.nodes == 1 else f"None of {self.nodes} nodes fits"
        said = [f"{count} {text}" for count, text in self.reasons[:_MOST_REASONS]]
        rest = sum(count for count, _ in self.reasons[_MOST_REASONS:])
        said += [f"{rest} something else"] if rest else []
        return f"{which}: {', '.join(said)}.{_describe(self.nearest)}"


def explain_placement(pod: PodSpec, nodes: Sequence[Node]) -> Placement:
    """Return where a pod of this spec could run (core/v1 PodSpec, as read)."""
    needs = needs_of(pod)
    lacking = [tuple(need for need in needs if not need.holds(node)) for node in nodes]
    fitting = sum(not missing for missing in lacking)
    if fitting or not nodes:
        return Placement(len(nodes), fitting)
    told = [
        (_reason(missing[0], pod, node), missing[0]) for missing, node in zip(lacking, nodes, strict=True)
    ]
    return Placement(len(nodes), 0, _count_reasons(told, needs), _find_nearest(pod, nodes, lacking))


def _count_reasons(told: Sequence[tuple[str, Need]], needs: Sequence[Need]) -> tuple[tuple[int, str], ...]:
    """Return the most common first, and among them those of the nodes that come farthest."""
    counts = Counter(text for text, _ in told)
    farthest = {text: needs.index(need) for text, need in told}
    found = [(count, text) for text, count in counts.most_common()]
    common, others = found[: _MOST_REASONS - 1], found[_MOST_REASONS - 1 :]
    others.sort(key=lambda one: -farthest[one[1]])
    return (*common, *others)


def _reason(need: Need, pod: PodSpec, node: Node) -> str:
    """Return what a node lacks, as the end of "n (nodes) ..."."""
    there = node.labels.get(need.key)
    if need.kind == "Resource":
        return (
            f"without {need.key}"
            if "/" in need.key
            else f"with less {need.key} than {readable_amount(Decimal(need.wanted))}"
        )
    if need.kind == "Memory":
        return _memory_reason(need, node)
    if need.kind == "Taint":
        return f"with the taint {' and '.join(one.text for one in untolerated(pod, node))}"
    if need.kind == "Cordon":
        return "cordoned"
    if need.kind == "Affinity":
        return "outside spec.scheduling.affinity"
    if need.kind == "Label":
        return f"without the label {need.key}={need.wanted}"
    return f"without the label {need.key}" if there is None else f"with {need.key}={there}"


def _memory_reason(need: Need, node: Node) -> str:
    mebibytes = memory_mebibytes(need.key, node.labels)
    if mebibytes is None:
        return f"without the label {need.key}"
    vendor = AMD if need.key == AMD.memory_label else NVIDIA
    product = node.labels.get(vendor.product_label, f"a GPU of {vendor.name}")
    return f"with {product} ({readable_amount(Decimal(mebibytes << 20))} of {need.wanted})"


def _find_nearest(pod: PodSpec, nodes: Sequence[Node], lacking: Sequence[tuple[Need, ...]]) -> Nearest | None:
    """Return the changes for the largest group of nodes that lack fewest, and for which there are changes."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, missing in enumerate(lacking):
        if any(map(is_ill, untolerated(pod, nodes[place]))):
            continue
        groups.setdefault(tuple(_sort_of(need, pod, nodes[place]) for need in missing), []).append(place)
    for _, places in sorted(groups.items(), key=lambda one: (_cost(one[0]), -len(one[1]), one[0])):
        found = _try_group(pod, nodes, lacking[places[0]], [nodes[place] for place in places])
        if found is not None:
            return found
    return None


def _sort_of(need: Need, pod: PodSpec, node: Node) -> tuple[str, str]:
    is_strange = need.kind == "Taint" and _keeps_off_strangers(pod, untolerated(pod, node))
    return need.kind, "GPU" if is_strange else need.key


def _keeps_off_strangers(pod: PodSpec, taints: Sequence[Taint]) -> bool:
    """Whether the node is for pods with a GPU, which this one does not ask for."""
    return not asks_device(pod) and any(map(is_of_gpus, taints))


def _cost(missing: tuple[tuple[str, str], ...]) -> int:
    """Tolerating a taint or a cordon keeps the wish itself; GPUs for pods that ask for none are dear."""
    return sum({("Taint", ""): 1, ("Cordon", ""): 1, ("Taint", "GPU"): 4}.get(one, 2) for one in missing)


def _try_group(
    pod: PodSpec, nodes: Sequence[Node], missing: Sequence[Need], group: Sequence[Node]
) -> Nearest | None:
    changed, texts = pod, []
    for need in missing:
        # What an earlier change leaves of the group: those that have most, the product that most have.
        left = [node for node in group if not all(one.holds(node) for one in _same(need, changed))]
        if not left:
            continue
        change = change_for(need, changed, left)
        if change is None:
            return None
        changed = change.pod
        texts.append(change.text)
        group = [node for node in group if all(one.holds(node) for one in _same(need, changed))]
    count = _count_fitting(changed, nodes)
    return _with_tolerations(Nearest(tuple(texts), changed, count), nodes) if count else None


def _same(need: Need, pod: PodSpec) -> list[Need]:
    """Return what has become of a need in another pod: it, or nothing."""
    return [one for one in needs_of(pod) if (one.kind, one.key) == (need.kind, need.key)]


def _count_fitting(pod: PodSpec, nodes: Sequence[Node]) -> int:
    needs = needs_of(pod)
    return sum(all(need.holds(node) for need in needs) for node in nodes)


def _with_tolerations(nearest: Nearest, nodes: Sequence[Node]) -> Nearest:
    """Add the nodes that only taints of people keep the changed pod from: those of most of them."""
    others = [need for need in needs_of(nearest.pod) if need.kind != "Taint"]
    kept_off: Counter[tuple[Taint, ...]] = Counter(
        taints
        for node in nodes
        if (taints := untolerated(nearest.pod, node))
        and not any(map(is_ill, taints))
        and not _keeps_off_strangers(nearest.pod, taints)
        and all(need.holds(node) for need in others)
    )
    if not kept_off:
        return nearest
    tried = tolerate(nearest.pod, kept_off.most_common(1)[0][0])
    return replace(
        nearest,
        more_nodes=_count_fitting(tried.pod, nodes) - nearest.nodes,
        toleration=tried.text,
    )


def _describe(nearest: Nearest | None) -> str:
    if nearest is None:
        return " Add such a node, or correct spec.gpu and spec.scheduling."
    more = f", {nearest.more_nodes} more with {nearest.toleration}" if nearest.more_nodes else ""
    return f" Nearest: {' and '.join(nearest.changes)} fits {_nodes(nearest.nodes)}{more}."


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
