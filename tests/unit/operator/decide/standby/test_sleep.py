"""A ModelService that sleeps and wakes: children, status and `/scale`, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from tests.unit.operator.builders import World, condition, make_ready_pod, model, timestamp

from modelservice_operator.facts.endpoints import Endpoint, Slice
from modelservice_operator.facts.observed import ClusterFacts
from modelservice_operator.facts.standby import Activators, Surroundings

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision

ACTIVATORS = tuple(Endpoint(address=f"10.0.0.{n}", pod=f"activator-{n}", pod_uid=f"uid-{n}") for n in (1, 2))
ALL = frozenset(one.address for one in ACTIVATORS)
MAY_SLEEP: dict[str, Any] = {"minReplicas": 0, "maxReplicas": 3, "provider": "HPA"}
SLICE = "EndpointSlice", "spam-activator"


def make_surroundings(**fields: Any) -> Surroundings:
    slices = (Slice(address_type="IPv4", endpoints=ACTIVATORS, ports={"metrics": 8081}),)
    facts: dict[str, Any] = {
        "activators": Activators(namespace="system", slices=slices),
        "ports": {"http": 20000, "grpc": 20001},
        "listening": ALL,
    }
    return Surroundings(**facts | fields)


def make_world(**spec: Any) -> World:
    """A service that serves with one pod and may sleep."""
    world = World(**{"autoscaling": MAY_SLEEP, **spec})
    world.surroundings = make_surroundings()
    world.settle()
    return world


def sleep(world: World) -> World:
    """Send it to sleep, and let that happen."""
    world.scale(0)
    world.settle()
    world.wait(1.0)
    world.settle()
    return world


def find_slice(world: World) -> Any:
    return world.objects[SLICE]


def is_ready(world: World) -> bool:
    return all(one["conditions"]["ready"] for one in find_slice(world)["endpoints"])


def reconcile_led(world: World, pod: Any) -> Decision:
    """Reconcile after a look that has shown that clients find this pod."""
    world.surroundings = make_surroundings(led=(pod,))
    return world.reconcile()


def test_awake_service_has_a_slice_that_says_where_to_listen() -> None:
    world = make_world()
    body = find_slice(world)
    labels = body["metadata"]["labels"]
    assert labels["kubernetes.io/service-name"] == "spam"
    assert labels["endpointslice.kubernetes.io/managed-by"] == "activator.modelservice.dev"
    assert {one["name"]: one["port"] for one in body["ports"]} == {"http": 20000, "grpc": 20001}
    assert [one["addresses"] for one in body["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]
    assert body["endpoints"][0]["conditions"] == {"ready": False, "serving": False, "terminating": False}
    target = {"kind": "Pod", "namespace": "system", "name": "activator-1", "uid": "uid-1"}
    assert body["endpoints"][0]["targetRef"] == target
    assert "autoscaling" not in world.status or "standbySince" not in world.status["autoscaling"]


def test_service_falls_asleep_behind_its_activator() -> None:
    world = make_world()
    world.scale(0)
    decision = world.settle()
    assert is_ready(world)
    assert sum(world.replicas().values()) == 1
    assert decision.requeue_after_seconds == 1.0
    assert world.status["autoscaling"]["standbySince"] == "2026-01-02T03:04:05.000Z"
    assert world.condition("Ready")["status"] == "True"
    world.wait(1.0)
    world.settle()
    assert sum(world.replicas().values()) == 0
    ready, available = world.condition("Ready"), world.condition("Available")
    assert (ready["status"], ready["reason"]) == ("True", "ScaledToZero")
    assert "a request wakes it" in ready["message"]
    assert (available["status"], available["reason"]) == ("False", "ScaledToZero")


def test_service_wakes_and_tells_where_its_time_went() -> None:
    world = sleep(make_world())
    world.wait(60)
    woken = world.now
    world.scale(1)
    world.reconcile()
    assert world.status["autoscaling"]["wokenAt"] == "2026-01-02T03:05:06.000Z"
    assert world.condition("AutoscalingActive")["reason"] == "Waking"
    assert is_ready(world)
    world.settle()
    world.wait(8)
    (revision,) = world.deployments()
    pod = make_ready_pod(revision)
    pod["metadata"]["creationTimestamp"] = timestamp(woken)
    times = [timestamp(woken.replace(second=woken.second + seconds)) for seconds in (1, 3, 5, 8)]
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": times[0]},
        {"type": "Ready", "status": "True", "lastTransitionTime": times[3]},
    ]
    fetched = {"exitCode": 0, "startedAt": times[1], "finishedAt": times[2]}
    pod["status"]["initContainerStatuses"] = [{"name": "fetch", "state": {"terminated": fetched}}]
    decision = reconcile_led(world, pod)
    assert decision.standby is not None
    assert decision.standby.phase == "Awake"
    assert not is_ready(world)
    assert world.status["autoscaling"]["coldStart"] == {
        "time": times[3],
        "totalSeconds": "8",
        "scheduleSeconds": "1",
        "pullSeconds": "2",
        "fetchSeconds": "2",
    }
    assert not {"wokenAt", "standbySince"} & world.status["autoscaling"].keys()
    assert world.condition("Ready")["status"] == "True"


def test_pod_is_asked_how_long_it_loaded_until_it_has_said_so_or_a_minute_is_over() -> None:
    world = make_world()
    compared = world.reconcile()
    assert not compared.wants_pods
    started = {"time": timestamp(world.now), "totalSeconds": "8"}
    world.service["status"]["autoscaling"] = {"engine": "HPA", "coldStart": started}
    assert world.reconcile().wants_pods
    world.service["status"]["autoscaling"]["coldStart"] = {**started, "loadSeconds": "1"}
    assert not world.reconcile().wants_pods
    world.service["status"]["autoscaling"]["coldStart"] = started
    world.wait(60)
    assert not world.reconcile().wants_pods


def test_pod_that_was_to_go_does_not_lead_at_once() -> None:
    world = sleep(make_world())
    world.wait(60)
    world.scale(1)
    world.settle()
    (revision,) = world.deployments()
    old = make_ready_pod(revision)
    reconcile_led(world, old)
    assert is_ready(world)
    leaving = {**old, "metadata": {**old["metadata"], "deletionTimestamp": timestamp(world.now)}}
    world.wait(5)
    reconcile_led(world, leaving)
    assert is_ready(world)
    reconcile_led(world, old)
    assert not is_ready(world)
    assert "coldStart" not in world.status["autoscaling"]


def test_edit_while_asleep_is_complete_and_the_new_revision_wakes() -> None:
    steps = [{"setWeight": 10}, {"pause": {}}]
    world = sleep(make_world(rollout={"strategy": "Canary", "canary": {"steps": steps}}))
    before = world.status["stableRevision"]
    world.edit(model=model(2))
    world.settle()
    after = world.status["stableRevision"]
    assert before != after
    assert is_ready(world)
    assert world.condition("Ready")["reason"] == "ScaledToZero"
    world.wait(60)
    world.scale(1)
    world.settle()
    assert {name: count for name, count in world.replicas().items() if count} == {after: 1}


def test_edit_while_waking_changes_over_as_ever_and_the_activator_leads_meanwhile() -> None:
    world = sleep(make_world(rollout={"contract": "Ignore"}))
    world.wait(60)
    world.scale(1)
    world.reconcile()
    world.edit(model=model(2))
    world.settle()
    assert is_ready(world)
    target = world.status["targetRevision"]
    assert world.status["stableRevision"] == target
    pod = make_ready_pod(target)
    pod["metadata"]["creationTimestamp"] = timestamp(world.now)
    reconcile_led(world, pod)
    assert not is_ready(world)


def test_no_more_leave_to_sleep_wakes_it_and_its_slice_goes_when_its_pods_lead() -> None:
    world = sleep(make_world())
    world.wait(60)
    world.edit(autoscaling={**MAY_SLEEP, "minReplicas": 2})
    assert world.reconcile().begin_with == 2
    assert is_ready(world)
    world.scale(2)
    world.settle()
    assert sum(world.replicas().values()) == 2
    (revision,) = world.deployments()
    pod = make_ready_pod(revision)
    pod["metadata"]["creationTimestamp"] = timestamp(world.now)
    reconcile_led(world, pod)
    assert SLICE not in world.objects
    assert "standbySince" not in world.status["autoscaling"]


def test_without_autoscaling_it_wakes_too_but_not_where_a_person_wrote_the_0() -> None:
    for writer, woken in (("scale", 1), ("", None)):
        world = sleep(make_world())
        del world.service["spec"]["autoscaling"]
        world.edit()
        world.write_replicas_by(writer)
        assert world.reconcile().begin_with == woken
    assert SLICE not in world.objects


def test_service_that_may_not_sleep_has_neither_slice_nor_dance() -> None:
    world = make_world(autoscaling={**MAY_SLEEP, "minReplicas": 1})
    assert SLICE not in world.objects
    world.scale(0)
    world.settle()
    assert sum(world.replicas().values()) == 0
    assert SLICE not in world.objects
    assert "raise spec.replicas" in world.condition("Ready")["message"]
    world.edit(autoscaling=MAY_SLEEP)
    world.settle()
    assert is_ready(world)
    assert "a request wakes it" in world.condition("Ready")["message"]


def test_without_an_activator_one_pod_stays_and_that_is_told() -> None:
    world = World(autoscaling=MAY_SLEEP, replicas=0)
    world.write_replicas_by("")
    world.settle()
    assert sum(world.replicas().values()) == 1
    assert world.condition("Ready")["status"] == "True"
    told = condition(world.status, "AutoscalingActive")["message"]
    assert "activator.enabled" in told
    assert "activator.enabled" in world.status["autoscaling"]["cannotSleep"]
    world.surroundings = make_surroundings()
    world.scale(1)
    world.settle()
    assert "cannotSleep" not in world.status["autoscaling"]


def test_activator_that_is_uninstalled_leaves_no_service_at_a_0_that_engines_leave_alone() -> None:
    world = sleep(make_world())
    world.surroundings = Surroundings()
    assert world.reconcile().begin_with == 1
    assert sum(world.replicas().values()) == 1
    assert SLICE not in world.objects
    by_hand = World(autoscaling=MAY_SLEEP, replicas=0)
    by_hand.write_replicas_by("")
    assert by_hand.settle().begin_with is None


def test_keda_keeps_one_pod_of_what_cannot_sleep() -> None:
    world = World(autoscaling={**MAY_SLEEP, "provider": "Keda"})
    world.cluster = ClusterFacts(scaler_address="scaler.system.svc:9090", kinds=frozenset({"ScaledObject"}))
    world.settle()
    assert world.objects["ScaledObject", "spam"]["spec"]["minReplicaCount"] == 1
    world.surroundings = make_surroundings()
    world.settle()
    assert world.objects["ScaledObject", "spam"]["spec"]["minReplicaCount"] == 0


def test_sleeping_service_without_a_ready_activator_is_not_ready() -> None:
    world = sleep(make_world())
    world.surroundings = make_surroundings(activators=Activators(namespace="system"))
    world.reconcile()
    assert find_slice(world)["endpoints"] == []
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ActivatorUnavailable")
    world.surroundings = make_surroundings()
    world.settle()
    assert world.condition("Ready")["reason"] == "ScaledToZero"


def test_invalid_spec_does_not_wake_it_nor_take_its_slice_away() -> None:
    world = sleep(make_world())
    world.edit(model={"storageUri": 7})
    world.settle()
    assert is_ready(world)
    assert sum(world.replicas().values()) == 0
    assert "standbySince" in world.status["autoscaling"]


def test_slice_names_only_ports_on_which_the_pods_listen() -> None:
    world = make_world()
    (record,) = world.observe().revisions
    without = record.data.replace(
        b'"containerPort":9000,"name":"grpc"', b'"containerPort":9000,"name":"other"'
    )
    assert without != record.data
    world.children["ControllerRevision", record.name] = replace(record, data=without)
    world.reconcile()
    assert [one["name"] for one in find_slice(world)["ports"]] == ["http"]


def test_awake_service_without_a_pod_is_not_ready_though_it_may_sleep() -> None:
    world = make_world()
    (revision,) = world.deployments()
    world.set_deployment(revision, available_replicas=0, ready_replicas=0)
    world.reconcile()
    assert world.condition("Ready")["status"] == "False"
