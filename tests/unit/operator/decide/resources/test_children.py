"""Children as users shape them: labels for all, the NetworkPolicy, the headless Service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.builders import (
    DEFAULT_RUNTIME,
    NOW,
    World,
    make_model_service,
    make_observed,
    make_runtime,
    model,
)

from modelservice_operator.api import NetworkPolicySpec
from modelservice_operator.api.modelservice import PODS_NAME_RULE, is_service_name
from modelservice_operator.api.types.rules import Rule
from modelservice_operator.decide.decide import decide
from modelservice_operator.facts import labels, names
from modelservice_operator.facts.observed import ClusterFacts

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision

Object = dict[str, Any]
METADATA = {"labels": {"cost-center": "4711"}, "annotations": {"example.com/owner": "mail"}}
CLAIM = {"storageUri": "pvc://models/spam.onnx"}
MOUNTED = {"storageUri": "oci://registry.example/models/spam:1", "imageVolume": {}}
TRACES = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]


def children(**spec: Any) -> list[Object]:
    return list(decide(make_observed(make_model_service(**spec), DEFAULT_RUNTIME), NOW).desired)


def child(kind: str, name: str = "spam", /, **spec: Any) -> Object:
    return next(one for one in children(**spec) if (one["kind"], one["metadata"]["name"]) == (kind, name))


def test_child_metadata_is_on_every_child_and_on_no_pod() -> None:
    made = children(childMetadata=METADATA, autoscaling={"maxReplicas": 2})

    assert len({one["kind"] for one in made}) == 7
    for one in made:
        assert one["metadata"]["labels"]["cost-center"] == "4711"
        assert one["metadata"]["labels"][labels.MANAGED_BY] == labels.MANAGER
        assert one["metadata"]["annotations"] == METADATA["annotations"]
        for selector in ("selector", "podSelector"):
            assert "cost-center" not in str(one.get("spec", {}).get(selector, {}))
    [deployment] = [one for one in made if one["kind"] == "Deployment"]
    assert "cost-center" not in str(deployment["spec"])


def test_child_metadata_changed_restarts_nothing_and_is_applied() -> None:
    world = World()
    revision = world.settle().stable
    template = world.objects["Deployment", f"spam-{revision}"]["spec"]["template"]

    world.edit(childMetadata=METADATA)
    world.settle()

    assert world.status["stableRevision"] == revision
    deployment = world.objects["Deployment", f"spam-{revision}"]
    assert deployment["spec"]["template"] == template
    assert deployment["metadata"]["labels"]["cost-center"] == "4711"
    world.edit(childMetadata={})
    world.settle()
    assert "cost-center" not in world.objects["Service", "spam"]["metadata"]["labels"]


TLS = {"secretName": "certificate"}
PLAIN_PORTS = [("http", 80, "http"), ("grpc", 9000, "kubernetes.io/h2c")]
TLS_PORTS = [("http", 443, "https"), ("grpc", 9000, "https")]


def ports_of(service: Object) -> list[tuple[str, int, str]]:
    return [(one["name"], one["port"], one["appProtocol"]) for one in service["spec"]["ports"]]


def test_services_say_tls_of_the_pods_that_they_lead_to() -> None:
    world = World(rollout={"strategy": "BlueGreen", "blueGreen": {"autoPromote": False}})
    old = world.settle().stable
    assert world.status["url"] == "http://spam.mail.svc/v2/models/spam"

    world.edit(tls=TLS)
    world.settle()

    new = world.status["targetRevision"]
    services = {name: ports_of(one) for (kind, name), one in world.objects.items() if kind == "Service"}
    assert services["spam"] == services[f"spam-{old}"] == PLAIN_PORTS
    assert services["spam-preview"] == services[f"spam-{new}"] == TLS_PORTS
    assert world.status["url"] == "http://spam.mail.svc/v2/models/spam"


def test_service_and_url_turn_to_tls_with_the_stable_revision() -> None:
    world = World()
    world.settle()

    world.edit(tls=TLS)
    world.settle()

    assert world.status["stableRevision"] == world.status["targetRevision"]
    assert ports_of(world.objects["Service", "spam"]) == TLS_PORTS
    assert [port for _, port, _ in ports_of(world.objects["Service", "spam-pods"])] == [8080, 9000]
    assert world.status["url"] == "https://spam.mail.svc/v2/models/spam"
    assert {one["type"]: one["status"] for one in world.status["conditions"]}["Available"] == "True"


@pytest.mark.parametrize("spec", [{"networkPolicy": {"mode": "Disabled"}}, {"childMetadata": METADATA}])
def test_invalid_spec_elsewhere_keeps_labels_and_opens_or_closes_nothing(spec: Object) -> None:
    world = World(**spec)
    world.settle()
    before = dict(world.objects)

    world.edit(replicas=-1)
    world.settle()

    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert world.objects == before


def test_network_policy_disabled_removes_it_and_back_again() -> None:
    world = World()
    world.settle()
    assert world.names("NetworkPolicy") == {"spam"}

    world.edit(networkPolicy={"mode": "Disabled"})
    world.settle()
    assert world.names("NetworkPolicy") == set()

    world.edit(networkPolicy=None)
    world.settle()
    assert world.names("NetworkPolicy") == {"spam"}


def test_network_policy_lets_nobody_out_for_a_model_that_the_node_brings() -> None:
    assert len(child("NetworkPolicy", model=MOUNTED)["spec"]["egress"]) == 1
    assert len(child("NetworkPolicy")["spec"]["egress"]) == 2


@pytest.mark.parametrize("model", [CLAIM, MOUNTED])
@pytest.mark.parametrize(("uri", "rules"), [("s3://bucket/law", 2), ("configmap://adapters/law", 1)])
def test_network_policy_lets_out_for_an_adapter_of_a_mounted_model(
    model: dict[str, Any], uri: str, rules: int
) -> None:
    parts: dict[str, Any] = {"model": model, "generation": {"adapters": [{"name": "law", "storageUri": uri}]}}
    assert len(child("NetworkPolicy", **parts)["spec"]["egress"]) == rules


def test_network_policy_from_and_extra_ports() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"team": "mail"}}, "podSelector": {}}
    spec = child("NetworkPolicy", networkPolicy={"from": [peer], "extraPorts": [15008]}, model=CLAIM)["spec"]

    [ingress] = spec["ingress"]
    assert ingress["from"] == [peer]
    assert [one["port"] for one in ingress["ports"]] == [8080, 9000, 8082, 15008]
    assert {"ports": [{"port": 15008, "protocol": "TCP"}]} in spec["egress"]


GOOGLE_ADAPTER = {"adapters": [{"name": "law", "storageUri": "gs://bucket/law"}]}
OURS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "modelservice-system"}},
    "podSelector": {"matchExpressions": [{"key": "name", "operator": "In", "values": ["a", "b"]}]},
}


@pytest.mark.parametrize("own", [True, False])
def test_network_policy_from_never_shuts_our_components_out(own: bool) -> None:
    peer = {"podSelector": {"matchLabels": {"app": "shop"}}}
    named = {"networkPolicy": {"from": [peer]}}
    world = World(**(named if own else {}))
    world.cluster = ClusterFacts(components=(OURS,))
    wanted = {} if own else {"network_policy": NetworkPolicySpec.model_validate(named["networkPolicy"])}
    (policy,) = [
        one for one in decide(world.observe(), NOW, **wanted).desired if one["kind"] == "NetworkPolicy"
    ]

    assert policy["spec"]["ingress"][0]["from"] == [peer, OURS]


def test_network_policy_without_from_names_nobody_for_our_components_sake() -> None:
    world = World()
    world.cluster = ClusterFacts(components=(OURS,))
    world.settle()
    assert "from" not in world.objects["NetworkPolicy", "spam"]["spec"]["ingress"][0]


def test_network_policy_that_changes_for_our_components_restarts_no_pod() -> None:
    world = World(networkPolicy={"from": [{"podSelector": {}}]})
    world.settle()
    before = dict(world.objects)

    world.cluster = ClusterFacts(components=(OURS,))
    world.settle()

    assert world.objects["NetworkPolicy", "spam"]["spec"]["ingress"][0]["from"] == [{"podSelector": {}}, OURS]
    del world.objects["NetworkPolicy", "spam"], before["NetworkPolicy", "spam"]
    assert world.objects == before


def test_network_policy_without_from_is_open_to_everybody() -> None:
    # An empty list in `from` would say the same, an empty peer is refused by the API server.
    for spec in ({}, {"networkPolicy": {"from": []}}):
        assert "from" not in child("NetworkPolicy", **spec)["spec"]["ingress"][0]


@pytest.mark.parametrize(
    ("spec", "reaches_out"),
    [
        ({}, True),
        ({"model": CLAIM}, False),
        ({"model": CLAIM, "env": TRACES}, True),
        ({"model": CLAIM, "env": [{"name": "TZ", "value": "UTC"}]}, False),
    ],
)
def test_network_policy_opens_the_way_to_stores_and_collectors_in_the_cluster(
    spec: Object, reaches_out: bool
) -> None:
    egress = child("NetworkPolicy", **spec)["spec"]["egress"]

    peers = [peer for rule in egress for peer in rule.get("to", ())]
    assert ({"namespaceSelector": {}} in peers) == reaches_out
    assert any("ipBlock" in peer for peer in peers) == reaches_out


@pytest.mark.parametrize(
    ("spec", "services"),
    [
        (
            {"model": {"storageUri": "s3://models/m.onnx"}, "serviceAccountName": "reader"},
            {("169.254.170.23/32", 80)},
        ),
        (
            {"model": {"storageUri": "gs://models/m.onnx"}, "serviceAccountName": "reader"},
            {("169.254.169.254/32", 80), ("169.254.169.252/32", 988)},
        ),
        ({"model": {"storageUri": "s3://models/m.onnx"}}, set()),  # our own account has no identity
        ({"model": {"storageUri": "https://h.example/m.onnx"}, "serviceAccountName": "reader"}, set()),
        ({"model": CLAIM, "serviceAccountName": "reader"}, set()),
        (
            {"model": CLAIM, "serviceAccountName": "reader", "generation": GOOGLE_ADAPTER},
            {("169.254.169.254/32", 80), ("169.254.169.252/32", 988)},
        ),
    ],
)
def test_network_policy_opens_exactly_the_identity_service_of_an_account(
    spec: Object, services: set[tuple[str, int]]
) -> None:
    egress = child("NetworkPolicy", **spec)["spec"]["egress"]

    opened = {
        (peer["ipBlock"]["cidr"], tuple(port["port"] for port in rule.get("ports", ())))
        for rule in egress
        for peer in rule.get("to", ())
        if peer.get("ipBlock", {}).get("cidr", "").startswith("169.254.")
    }
    assert opened == {(cidr, (port,)) for cidr, port in services}


@pytest.mark.parametrize(
    ("spec", "asks"),
    [
        ({"model": {"storageUri": "gs://models/m.onnx"}, "serviceAccountName": "reader"}, True),
        ({"model": {"storageUri": "gs://models/m.onnx"}}, False),
        ({"model": {"storageUri": "s3://models/m.onnx"}, "serviceAccountName": "reader"}, False),
        ({"model": CLAIM, "serviceAccountName": "reader", "generation": GOOGLE_ADAPTER}, True),
    ],
)
def test_fetcher_asks_the_metadata_server_only_as_an_account(spec: Object, asks: bool) -> None:
    [deployment] = [one for one in children(**spec) if one["kind"] == "Deployment"]
    [fetcher] = deployment["spec"]["template"]["spec"]["initContainers"]
    assert ("--pod-identity" in fetcher["args"]) == asks


@pytest.mark.parametrize(
    ("own", "made"),
    [(None, set()), ({"extraPorts": [1]}, set()), ({"mode": "Strict"}, {"spam"})],
)
def test_network_policy_of_the_operator_counts_where_the_spec_says_nothing(own: Any, made: set[str]) -> None:
    spec = {} if own is None else {"networkPolicy": own}
    observed = make_observed(make_model_service(**spec), DEFAULT_RUNTIME)

    decision = decide(observed, NOW, network_policy=NetworkPolicySpec(mode="Disabled"))

    assert {one["metadata"]["name"] for one in decision.desired if one["kind"] == "NetworkPolicy"} == made


def test_headless_service_leads_to_the_ports_of_the_ready_pods() -> None:
    spec = child("Service", "spam-pods")["spec"]

    assert spec["clusterIP"] == "None"
    assert spec["selector"] == {labels.NAME: "spam"}
    assert {one["name"]: (one["port"], one["appProtocol"]) for one in spec["ports"]} == {
        "http": (8080, "http"),
        "grpc": (9000, "kubernetes.io/h2c"),
    }
    # False is the default, which the API server does not store.
    assert "publishNotReadyAddresses" not in spec


def test_headless_service_has_a_name_that_nothing_else_can_have() -> None:
    longest = "s" * 52
    assert is_service_name(longest)
    assert len(names.pods_service(longest)) <= 63
    assert not PODS_NAME_RULE.check(names.pods_service("spam"))
    assert names.revision_in("spam", names.pods_service("spam")) is None


def test_model_name_is_in_the_url_once_its_revision_serves() -> None:
    world = World()
    world.settle()
    assert world.status["url"] == "http://spam.mail.svc/v2/models/spam"

    world.edit(model=model(1, name="junk"))
    world.reconcile()
    assert world.status["url"] == "http://spam.mail.svc/v2/models/spam"
    world.settle()

    assert world.status["url"] == "http://spam.mail.svc/v2/models/junk"
    assert world.names("Service") == {"spam", "spam-pods", f"spam-{world.status['stableRevision']}"}


def test_pull_secrets_of_the_runtime_are_added_and_recorded() -> None:
    runtime = make_runtime(default=True, imagePullSecrets=[{"name": "shared"}, {"name": "both"}])
    world = World(runtime, imagePullSecrets=[{"name": "own"}, {"name": "both"}])
    revision = world.settle().stable
    pod = world.objects["Deployment", f"spam-{revision}"]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "own"}, {"name": "both"}, {"name": "shared"}]

    world.runtimes = [make_runtime(default=True, imagePullSecrets=[])]
    world.settle()

    assert world.status["stableRevision"] == revision


@pytest.mark.parametrize(
    "spec",
    [
        {"gpu": {"count": 2}},
        {"resources": {"limits": {"memory": "1Gi"}}, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
    ],
    ids=["two GPUs", "utilisation without a request"],
)
def test_stored_service_that_breaks_a_newer_rule_runs_on_and_a_new_one_is_refused(
    spec: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(default=True, gpuImage="registry.example/gpu:1")
    refused = World(runtime, **spec)
    refused.settle()
    assert refused.condition("Ready")["reason"] == "InvalidSpec"
    assert refused.names("Deployment") == set()

    with monkeypatch.context() as earlier:
        earlier.setattr(Rule, "applies", lambda rule, _: not rule.spares_stored)
        world = World(runtime, **spec)
        revision = world.settle().stable
    before = dict(world.objects)
    world.settle()
    assert (world.objects, world.condition("Ready")["status"]) == (before, "True")

    world.edit(model=model(2))
    world.settle()
    assert world.status["stableRevision"] != revision
    assert world.condition("Ready")["status"] == "True"


# Devices by dynamic resource allocation

DEVICE = {"count": 1, "claim": {"deviceClassName": "gpu.nvidia.com"}}
WITH_CLAIMS = ClusterFacts(kinds=frozenset({"ResourceClaimTemplate"}))


def decide_claim(cluster: ClusterFacts, **spec: Any) -> Decision:
    runtime = make_runtime(default=True, gpuImage="registry.example/gpu:1")
    return decide(make_observed(make_model_service(**{"gpu": DEVICE, **spec}), runtime, cluster=cluster), NOW)


def test_decide_claim_pods_name_the_template_of_their_revision_which_comes_first() -> None:
    desired = decide_claim(WITH_CLAIMS).desired

    kinds = [child["kind"] for child in desired]
    template, deployment = (desired[kinds.index(one)] for one in ("ResourceClaimTemplate", "Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    assert kinds.index("ResourceClaimTemplate") < kinds.index("Deployment")
    name = template["metadata"]["name"]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": name}]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    assert "claims" not in pod["initContainers"][0].get("resources", {})
    other = {"count": 1, "claim": {"deviceClassName": "big.nvidia.com"}}
    assert name not in [one["metadata"]["name"] for one in decide_claim(WITH_CLAIMS, gpu=other).desired]


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (ClusterFacts(), "the cluster does not serve resource.k8s.io/v1"),
        (ClusterFacts(forbidden=frozenset({"ResourceClaimTemplate"})), "the operator may not write"),
    ],
)
def test_decide_claim_that_the_cluster_does_not_know_is_said_and_nothing_begun(
    cluster: ClusterFacts, said: str
) -> None:
    decision = decide_claim(cluster)

    assert decision.runtime_problem is not None
    assert decision.runtime_problem.reason == "ClaimsNotServed"
    assert said in decision.runtime_problem.message
    assert not decision.desired
