"""The NetworkPolicies of the components, and the peers that the operator adds to those of models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.chart import NAMESPACE, RELEASE, Chart, Object, arguments_of, find_object

from modelservice_activator.settings import parse_settings as parse_activator
from modelservice_autoscaler.settings import parse_settings as parse_autoscaler
from modelservice_operator.facts import labels, ports
from modelservice_operator.settings import parse_settings

NAME_LABEL, INSTANCE_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/instance"
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
KEDA = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
ON = {"networkPolicy": {"enabled": True}}
NARROW = {"networkPolicy": {"enabled": True, "metricsFrom": [MONITORING], "kedaFrom": [KEDA]}}
POD = {"POD_NAMESPACE": NAMESPACE, "POD_NAME": "a"}


@dataclass(frozen=True)
class Pod:
    """Somebody that connects or is connected to."""

    labels: Mapping[str, str]
    namespace: str

    def is_in(self, peer: Mapping[str, Any], home: str) -> bool:
        """Whether a peer of a policy in the namespace `home` means this pod."""
        if "namespaceSelector" in peer:
            here = selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": self.namespace})
        else:
            here = self.namespace == home and "podSelector" in peer
        return here and selects(peer.get("podSelector", {}), self.labels)


def component(name: str, *, release: str = RELEASE) -> Pod:
    return Pod({NAME_LABEL: f"modelservice-{name}", INSTANCE_LABEL: release}, NAMESPACE)


OPERATOR, AUTOSCALER, ACTIVATOR = component("operator"), component("autoscaler"), component("activator")
MODEL = Pod({labels.NAME: "spam"}, "shop")
PROMETHEUS, SCALER, SOMEBODY = Pod({}, "monitoring"), Pod({}, "keda"), Pod({}, "shop")
API_SERVER = Pod({}, "a machine of the cluster")


def selects(selector: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """A label selector, as far as the chart uses them."""
    by_name = {
        "In": lambda one: found.get(one["key"]) in one["values"],
        "Exists": lambda one: one["key"] in found,
    }
    return selector.get("matchLabels", {}).items() <= found.items() and all(
        by_name[one["operator"]](one) for one in selector.get("matchExpressions", ())
    )


def is_open(rules: list[Object], side: str, other: Pod, port: int, protocol: str = "TCP") -> bool:
    """Whether a rule lets `other` in (side `from`) or reaches it (side `to`)."""
    return any(
        any(
            one["port"] <= port <= one.get("endPort", one["port"]) and one["protocol"] == protocol
            for one in rule["ports"]
        )
        and (side not in rule or any(other.is_in(peer, NAMESPACE) for peer in rule[side]))
        for rule in rules
    )


def may_connect(objects: list[Object], source: Pod, target: Pod, port: int) -> bool:
    """Whether the policies of both sides let the connection through."""
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    out = [one for one in policies if selects(one["podSelector"], source.labels)]
    into = [one for one in policies if selects(one["podSelector"], target.labels)]
    return all(is_open(one["egress"], "to", target, port) for one in out) and all(
        is_open(one["ingress"], "from", source, port) for one in into
    )


NEEDED = [
    # Names; the pods behind port 53 of the Service listen on another one on OpenShift.
    *((source, SOMEBODY, port) for source in (OPERATOR, AUTOSCALER, ACTIVATOR) for port in (53, 5353)),
    *((source, API_SERVER, port) for source in (OPERATOR, AUTOSCALER, ACTIVATOR) for port in (443, 6443)),
    *((source, MODEL, ports.METRICS) for source in (OPERATOR, AUTOSCALER)),
    *((ACTIVATOR, MODEL, port) for port in (ports.HTTP, ports.GRPC)),
    (OPERATOR, ACTIVATOR, parse_activator([], {}).http_port),
    (OPERATOR, PROMETHEUS, 9090),
    *((PROMETHEUS, target, parse_settings([], {}).http_port) for target in (OPERATOR, AUTOSCALER, ACTIVATOR)),
    (SCALER, AUTOSCALER, parse_autoscaler([], POD).grpc_port),
    (SOMEBODY, ACTIVATOR, ports.STANDBY[0]),
    (SOMEBODY, ACTIVATOR, ports.STANDBY[-1]),
    *((component("test"), target, 8081) for target in (OPERATOR, AUTOSCALER, ACTIVATOR)),
]
CLOSED = [
    (SOMEBODY, OPERATOR, 8080),
    (SOMEBODY, ACTIVATOR, ports.STANDBY[0] - 1),
    (SOMEBODY, ACTIVATOR, ports.STANDBY[-1] + 1),
    (OPERATOR, MODEL, ports.HTTP),
    (OPERATOR, SOMEBODY, ports.METRICS),
    (AUTOSCALER, ACTIVATOR, 8081),
    (ACTIVATOR, MODEL, ports.METRICS),
    (ACTIVATOR, API_SERVER, 80),
]
CLOSED_WHERE_NARROWED = [
    (SOMEBODY, OPERATOR, 8081),
    (SOMEBODY, ACTIVATOR, 8081),
    (SOMEBODY, AUTOSCALER, 9090),
    (PROMETHEUS, AUTOSCALER, 9090),
    (component("operator", release="another"), ACTIVATOR, 8081),
]


@pytest.mark.parametrize("values", [ON, NARROW], ids=["open", "narrowed"])
def test_policies_let_through_what_the_programs_need_and_nothing_else(chart, values):
    objects = chart.render(values)
    for source, target, port in NEEDED:
        assert may_connect(objects, source, target, port), (source, target, port)
    for source, target, port in CLOSED:
        assert not may_connect(objects, source, target, port), (source, target, port)
    for source, target, port in CLOSED_WHERE_NARROWED:
        assert may_connect(objects, source, target, port) == (values is ON), (source, target, port)


def test_policies_are_made_on_demand_and_for_what_is_installed(chart):
    assert "NetworkPolicy" not in {one["kind"] for one in chart.render()}
    objects = chart.render({**ON, "activator": {"enabled": False}})
    made = {one["metadata"]["name"] for one in objects if one["kind"] == "NetworkPolicy"}
    assert made == {RELEASE, f"{RELEASE}-autoscaler"}


def test_api_server_can_be_named_and_rules_added(chart):
    more = {"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 9091, "protocol": "TCP"}]}
    policy = {
        "enabled": True,
        "apiServer": {"ports": [8443], "cidrs": ["10.0.0.1/32"]},
        "extraEgress": [more],
    }
    egress = find_object(chart.render({"networkPolicy": policy}), "NetworkPolicy")["spec"]["egress"]
    named = {"ports": [{"port": 8443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    assert named in egress
    assert more in egress


def test_operator_knows_the_pods_of_all_components(chart: Chart):
    objects = chart.render({"commonLabels": {"app.kubernetes.io/part-of": "platform"}})
    (container,) = find_object(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    (peer,) = [one.to_dict() for one in parse_settings(arguments_of(container), POD).component_peers]
    for one in objects:
        if one["kind"] == "Deployment":
            pod = Pod(one["spec"]["template"]["metadata"]["labels"], one["metadata"]["namespace"])
            assert pod.is_in(peer, "shop"), one["metadata"]["name"]
            assert not Pod(pod.labels, "shop").is_in(peer, "shop")
    assert not component("operator", release="another").is_in(peer, "shop")
