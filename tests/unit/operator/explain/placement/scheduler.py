"""The scheduler's rules about one node and one pod, written again from Kubernetes' documentation."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.facts.nodes import Node

Object = dict[str, Any]


def fits(pod: Object, node: Node) -> bool:
    return (
        all(amount(node.allocatable, name) >= wanted for name, wanted in asked(pod).items())
        and all(node.labels.get(key) == value for key, value in pod.get("nodeSelector", {}).items())
        and any_term_matches(pod, node)
        and tolerates_all(pod, node)
    )


def asked(pod: Object) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for container in pod["containers"]:
        resources = container.get("resources", {})
        for name, value in {**resources.get("limits", {}), **resources.get("requests", {})}.items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(value)
    return total


def amount(allocatable: Any, name: str) -> Decimal:
    return parse_quantity(allocatable.get(name, "0"))


def any_term_matches(pod: Object, node: Node) -> bool:
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    for term in required["nodeSelectorTerms"]:
        expressions = term.get("matchExpressions", [])
        if expressions and all(holds(one, node.labels.get(one["key"])) for one in expressions):
            return True
    return False


def holds(expression: Object, value: str | None) -> bool:
    values = expression.get("values", [])
    match expression["operator"]:
        case "Exists":
            return value is not None
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
    raise AssertionError(expression)


def tolerates_all(pod: Object, node: Node) -> bool:
    taints = [(one.key, one.value, one.effect) for one in node.taints if one.effect != "PreferNoSchedule"]
    if node.is_cordoned:
        taints.append(("node.kubernetes.io/unschedulable", "", "NoSchedule"))
    return all(any(tolerates(one, *taint) for one in pod.get("tolerations", [])) for taint in taints)


def tolerates(toleration: Object, key: str, value: str, effect: str) -> bool:
    return (
        toleration.get("effect", effect) == effect
        and toleration.get("key", key) == key
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == value)
    )
