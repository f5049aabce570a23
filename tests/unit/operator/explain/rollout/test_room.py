"""A surge for which there is no room, decided and told step by step, as a person would see it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.unit.operator.builders import NOW, World, make_pod, make_ready_pod, make_runtime, model, timestamp

from modelservice_operator.decide.rollout.room.deadlines import LOOK_AGAIN_SECONDS, PROBE_AGAIN_SECONDS
from modelservice_operator.explain.diagnose.room import MULTI_ATTACH

NO_GPU = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
FULL_NODE = (
    "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) didn't match Pod's node "
    "affinity/selector. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
    "1 Preemption is not helpful for scheduling."
)
NEVER_FITS = (
    "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) didn't match Pod's node "
    "affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
NO_DEVICE_OF_A_DRIVER = "0/1 nodes are available: 1 cannot allocate all claims."
QUOTA = (
    'pods "x" is forbidden: exceeded quota: tight, requested: requests.nvidia.com/gpu=1, '
    "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
)


def homeless_pod(revision: str, message: str = NO_GPU, name: str = "homeless") -> dict[str, Any]:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return make_pod(revision, name, conditions=[scheduled])


def event(pod: dict[str, Any], reason: str, second: int) -> dict[str, Any]:
    return {
        "reason": reason,
        "involvedObject": {"uid": pod["metadata"]["uid"]},
        "lastTimestamp": f"2026-01-02T03:04:{second:02}Z",
    }


class KilledError(Exception):
    """The operator ends here."""


class Full(World):
    """A cluster that has as many GPUs as the first revision has pods: `new` finds no room beside `old`."""

    def __init__(self, replicas: int = 2, **rollout: Any) -> None:
        runtime = make_runtime(default=True, gpuImage="registry.example/onnx-gpu:1")
        super().__init__(runtime, replicas=replicas, gpu={"count": 1}, rollout=rollout)
        self.gpus, self.message, self.old = replicas, NO_GPU, ""
        self.kill_after = -1
        self.made: list[str] = []
        self.settle()
        self.old = str(self.status["stableRevision"])
        self.edit(model=model(2))
        self.reconcile()
        self.new = str(self.status["targetRevision"])

    def run_controllers(self) -> None:
        """Pods of the old revision keep their GPUs, those of another one get what is left."""
        super().run_controllers()
        free, pods = self.gpus, []
        for name, one in sorted(self.deployments().items(), key=lambda item: item[0] != self.old):
            placed = min(one.spec_replicas, free)
            free -= placed
            available = 0 if name in self.broken else placed
            self.set_deployment(name, ready_replicas=available, available_replicas=available)
            pods += [make_ready_pod(name, f"{name}-{number}") for number in range(available)]
            pods += [homeless_pod(name, self.message, "homeless")] * (one.spec_replicas - placed)
        self.pods = tuple(pods)

    def _apply(self, body: dict[str, Any]) -> None:
        known, writes = body["metadata"]["name"], len(self.writes)
        if body["kind"] == "Deployment" and ("Deployment", known) not in self.objects:
            self.made.append(known)
        super()._apply(body)
        if len(self.writes) > writes:
            self.kill_after -= 1
            if self.kill_after == 0:
                self.kill_after = -1
                raise KilledError

    def step(self) -> Any:
        self.run_controllers()
        return self.reconcile()

    @property
    def capacity(self) -> dict[str, Any]:
        return self.status.get("rollout", {}).get("capacity", {})  # type: ignore[no-any-return]


def probed(world: Full) -> Full:
    """The new pod has found no room for the whole probe, and that is recorded."""
    world.step()
    world.wait(30)
    world.step()
    return world


def test_surge_without_room_is_watched_first() -> None:
    world = Full()
    decision = world.step()
    assert decision.plan.requeue_after_seconds is not None
    assert world.capacity == {
        "revision": world.new,
        "missingPods": 1,
        "shortSince": timestamp(NOW),
        "message": NO_GPU,
    }

    world.wait(10)
    decision = world.step()

    assert world.replicas() == {world.old: 2, world.new: 1}
    assert decision.requeue_after_seconds == 20
    assert world.condition("Degraded")["status"] == "False", "no person is needed"
    assert "one of them goes first" in world.condition("Ready")["message"]


def test_surge_that_finds_room_in_time_is_forgotten() -> None:
    world = Full()
    world.step()
    world.gpus = 3
    world.step()

    assert world.capacity == {}


def test_surge_without_room_is_given_up_once_that_is_recorded() -> None:
    world = probed(Full())
    assert world.capacity["surge"] == 0
    assert [one.message for one in world.events if one.reason == "SurgeWithoutRoom"] == [
        f"The rollout goes on with 0 pods above the wanted number: {NO_GPU}"
    ]
    assert world.replicas() == {world.old: 2, world.new: 1}, "nothing may rely on it before it is recorded"

    world.reconcile()
    assert world.replicas() == {world.old: 1, world.new: 0}
    world.step()
    assert world.replicas() == {world.old: 1, world.new: 1}
    assert NO_GPU.rstrip(".") in world.condition("Ready")["message"]

    world.settle()
    assert world.replicas() == {world.new: 2}
    assert world.condition("Ready")["status"] == "True"
    assert not {"startedAt", "capacity"} & world.status["rollout"].keys()


def test_surge_of_which_a_part_has_room_is_cut_to_that_part() -> None:
    world = Full(4, maxSurge=3)
    world.gpus = 5
    probed(world)

    assert world.capacity["surge"] == 1
    world.reconcile()
    assert sum(world.replicas().values()) <= 5, "nothing waits for room any more"
    world.settle()
    assert world.replicas() == {world.new: 4}


def test_surge_whose_last_part_loses_its_room_is_watched_again() -> None:
    world = Full(4, maxSurge=3)
    world.gpus = 5
    probed(world)
    world.gpus = 4
    world.step()
    world.step()

    assert world.capacity["missingPods"] == 1
    assert "shortSince" in world.capacity
    assert world.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize(
    "message",
    [
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        "0/1 nodes are available: 1 Insufficient example.com/other.",
        "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
        NEVER_FITS,
    ],
)
def test_surge_that_old_pods_hold_nothing_for_costs_none_of_them(message: str) -> None:
    world = Full()
    world.message = message
    probed(world)
    world.reconcile()

    assert world.replicas() == {world.old: 2, world.new: 1}
    assert world.capacity == {}
    assert world.condition("Degraded")["reason"] == "Unschedulable"
    assert "goes first" not in world.condition("Ready")["message"]


@pytest.mark.parametrize("message", [FULL_NODE, NO_DEVICE_OF_A_DRIVER])
def test_surge_without_room_on_a_node_whose_pods_could_make_it_is_given_up(message: str) -> None:
    world = Full()
    world.message = message
    probed(world)

    assert world.capacity["surge"] == 0
    assert "preemption" not in world.capacity["message"]
    assert message.startswith(world.capacity["message"])


def test_surge_without_room_is_no_matter_for_a_person() -> None:
    world = Full()
    degraded = set()
    for _ in range(12):
        world.step()
        degraded.add(world.condition("Degraded")["status"])
        world.wait(10)
    assert world.replicas() == {world.new: 2}
    assert degraded == {"False"}
    assert {one.type for one in world.events} == {"Normal"}


def test_surge_whose_place_was_taken_by_somebody_is_a_matter_for_a_person() -> None:
    world = probed(Full())
    world.gpus -= 1
    for _ in range(3):
        world.step()

    assert world.replicas() == {world.old: 1, world.new: 1}
    assert world.condition("Degraded")["reason"] == "Unschedulable"


@pytest.mark.parametrize(
    "requested", ["requests.nvidia.com/gpu=3", "requests.cpu=500m,requests.nvidia.com/gpu=3"]
)
def test_surge_that_a_quota_never_allows_costs_no_old_pod(requested: str) -> None:
    world = Full()
    message = QUOTA.replace("requests.nvidia.com/gpu=1", requested)
    refusal = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    for _ in range(3):
        world.run_controllers()
        world.pods = None
        world.set_deployment(world.new, replicas=0, available_replicas=0, conditions=(refusal,))
        world.reconcile()
        world.wait(30)

    assert world.replicas() == {world.old: 2, world.new: 1}
    assert world.condition("Degraded")["reason"] == "QuotaExceeded"


def test_surge_refused_by_a_quota_is_given_up() -> None:
    world = Full()
    refusal = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    world.run_controllers()
    world.pods = None
    world.set_deployment(world.new, replicas=0, available_replicas=0, conditions=(refusal,))
    world.reconcile()
    world.wait(30)
    world.reconcile()
    assert world.capacity["surge"] == 0

    world.reconcile()

    assert world.replicas() == {world.old: 1, world.new: 0}


@pytest.mark.parametrize(("replicas", "reason"), [(1, "InsufficientCapacity"), (2, "ClaimInUse")])
def test_surge_whose_claim_is_on_another_node_is_given_up_where_only_one_pod_has_it(
    replicas: int, reason: str
) -> None:
    world = Full(replicas)
    world.gpus += 1
    world.broken.add(world.new)
    for _ in range(4):
        world.run_controllers()
        pod = make_pod(world.new, "unattached")
        pod["spec"]["nodeName"] = "other"
        sentence = f'{MULTI_ATTACH} for volume "pvc-1" Volume is already used by pod(s) old'
        attach = event(pod, "FailedAttachVolume", 1) | {"message": sentence}
        world.pods, world.pod_events = ((pod,) if world.replicas()[world.new] else ()), (attach,)
        world.reconcile()
        world.wait(30)

    assert world.replicas() == {world.old: replicas, world.new: replicas - 1}
    assert world.condition("Ready")["reason"] == reason
    assert "Multi-Attach" in world.condition("Ready")["message"]


def test_surge_is_waited_for_while_a_cluster_autoscaler_makes_room() -> None:
    world = Full()
    world.step()
    pod = homeless_pod(world.new, name="homeless")
    world.pod_events = (event(pod, "TriggeredScaleUp", 9), event(pod, "NotTriggerScaleUp", 1))
    world.wait(60)
    decision = world.step()
    assert world.replicas() == {world.old: 2, world.new: 1}
    assert "surge" not in world.capacity
    assert decision.requeue_after_seconds == LOOK_AGAIN_SECONDS
    assert world.condition("Degraded")["status"] == "False"

    world.pod_events = (event(pod, "TriggeredScaleUp", 9), event(pod, "NotTriggerScaleUp", 30))
    world.step()

    assert world.capacity["surge"] == 0


def test_surge_is_not_given_up_while_own_pods_are_leaving() -> None:
    world = Full()
    world.run_controllers()
    leaving = make_ready_pod(world.old, "leaving")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:09:00Z"
    assert world.pods is not None
    world.pods = (*world.pods, leaving)
    world.reconcile()

    assert world.capacity == {}
    assert world.condition("Degraded")["status"] == "False"
    assert "their end is waited for" in world.condition("Ready")["message"]


def test_surge_with_the_policy_wait_waits() -> None:
    world = probed(Full(capacityPolicy="Wait"))
    world.reconcile()

    assert world.replicas() == {world.old: 2, world.new: 1}
    assert world.capacity == {}


def test_surge_probe_ends_before_a_short_deadline_does() -> None:
    world = Full(progressDeadlineSeconds=20)
    world.step()
    world.wait(10)
    world.step()

    assert world.capacity["surge"] == 0


def held(**rollout: Any) -> Full:
    world = probed(Full(1, **rollout))
    world.reconcile()
    world.step()
    return world


def test_only_pod_serves_on_where_there_is_no_room_for_another() -> None:
    world = held()
    assert world.replicas() == {world.old: 1, world.new: 0}
    ready = world.condition("Ready")
    assert (ready["reason"], world.condition("Stalled")["status"]) == ("InsufficientCapacity", "True")
    assert "allowDowntime: true" in ready["message"]
    assert NO_GPU.rstrip(".") in ready["message"]
    assert world.condition("Available")["status"] == "True"

    world.wait(599)
    world.step()

    # Nothing of it is tried, so it is not given up either.
    assert world.writes == []
    assert world.condition("Ready")["reason"] == "InsufficientCapacity"


def test_only_pod_goes_once_downtime_is_allowed_and_the_new_one_has_a_deadline_of_its_own() -> None:
    world = held()
    world.wait(500)
    world.edit(rollout={"allowDowntime": True})
    world.reconcile()
    assert world.replicas() == {world.old: 0, world.new: 0}
    world.wait(300)
    world.step()
    assert world.replicas() == {world.old: 0, world.new: 1}

    world.settle()

    assert world.replicas() == {world.new: 1}


def test_only_pod_that_is_stopping_already_holds_nothing_up() -> None:
    world = held()
    world.edit(rollout={"allowDowntime": True})
    world.reconcile()
    assert world.replicas() == {world.old: 0, world.new: 0}
    world.edit(rollout={"allowDowntime": False})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "RolloutInProgress"

    world.settle()

    assert world.replicas() == {world.new: 1}


def test_only_pod_room_is_looked_for_again_after_a_while() -> None:
    world = held()
    world.gpus = 2
    world.wait(PROBE_AGAIN_SECONDS)
    world.reconcile()
    assert world.replicas() == {world.old: 1, world.new: 1}
    assert world.capacity == {}

    world.settle()

    assert world.replicas() == {world.new: 1}


def test_only_pod_is_not_held_until_a_time_that_a_wrong_clock_wrote() -> None:
    world = held()
    world.gpus = 2
    world.wait(-86_400)
    world.reconcile()

    assert world.replicas() == {world.old: 1, world.new: 1}


def test_only_pod_looking_again_in_vain_ends_as_before() -> None:
    world = held()
    world.wait(PROBE_AGAIN_SECONDS)
    world.reconcile()
    assert world.replicas() == {world.old: 1, world.new: 1}
    probed(world)
    world.reconcile()
    world.step()

    assert world.replicas() == {world.old: 1, world.new: 0}
    assert world.condition("Ready")["reason"] == "InsufficientCapacity"
    assert "Recovered" not in {one.reason for one in world.events}


def test_only_pod_that_has_been_broken_for_a_while_makes_place_for_the_fix() -> None:
    world = held()
    world.broken.add(world.old)
    world.step()
    world.wait(29)
    decision = world.step()
    assert world.replicas() == {world.old: 1, world.new: 0}
    assert decision.requeue_after_seconds == 1

    world.wait(1)
    world.step()
    world.settle()

    assert world.replicas() == {world.new: 1}


@pytest.mark.parametrize("replicas", [1, 2])
def test_scaling_down_leaves_room_to_the_surge(replicas: int) -> None:
    world = probed(Full(3))
    world.reconcile()
    assert world.replicas() == {world.old: 2, world.new: 0}
    world.scale(replicas)
    for _ in range(4):
        decision = world.step()
        ready = sum(one.available_replicas for one in world.deployments().values())
        assert ready >= replicas, "no pod has to go first"
        assert not decision.plan.held

    world.settle()

    assert world.replicas() == {world.new: replicas}


@pytest.mark.parametrize("edit", [{"replicas": 1}, {"rollout": {"capacityPolicy": "Wait"}}])
def test_surge_that_is_tried_anew_has_a_deadline_of_its_own(edit: dict[str, Any]) -> None:
    world = probed(Full(3))
    world.reconcile()
    world.run_controllers()
    world.set_deployment(world.old, terminating_replicas=1)
    world.pods = None
    world.wait(1000)
    world.reconcile()
    assert world.replicas() == {world.old: 2, world.new: 0}, "the old pod takes its time"
    world.edit(**edit)
    world.reconcile()
    world.wait(599)
    world.reconcile()
    assert world.status["targetRevision"] == world.new
    assert world.condition("Progressing")["status"] == "True"

    world.broken.add(world.new)
    world.wait(5000)
    world.reconcile()

    assert world.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"


def test_revision_that_is_tried_again_looks_for_room_anew() -> None:
    world = probed(Full())
    world.reconcile()
    world.broken.add(world.new)
    for _ in range(3):
        world.step()
    world.wait(2000)
    for _ in range(3):
        world.step()
    assert world.replicas() == {world.old: 2}
    world.gpus, world.broken = 3, set()
    world.edit(rollout={"progressDeadlineSeconds": 5000})
    world.reconcile()

    assert world.replicas() == {world.old: 2, world.new: 1}
    assert world.capacity == {}


def test_another_change_looks_for_room_anew() -> None:
    world = held()
    world.gpus = 2
    world.edit(model=model(3))
    world.reconcile()

    assert world.status["targetRevision"] != world.new
    assert world.capacity == {}
    assert world.replicas()[str(world.status["targetRevision"])] == 1


def test_target_that_fails_after_the_surge_was_given_up_goes_back_without_a_surge() -> None:
    world = probed(Full())
    world.reconcile()
    world.broken.add(world.new)
    for _ in range(3):
        world.step()
    world.set_deployment(world.new, available_replicas=0)
    world.wait(2000)
    world.reconcile()
    assert world.replicas() == {world.old: 1, world.new: 0}
    world.step()

    assert world.replicas()[world.old] == 2
    assert world.condition("Ready")["reason"] != "InsufficientCapacity"


@pytest.mark.parametrize("number", range(1, 6))
def test_operator_that_is_killed_after_any_write_ends_the_same(number: int) -> None:
    world = Full()
    world.kill_after = number
    fewest = world.replicas()[world.old]
    for _ in range(12):
        world.run_controllers()
        with contextlib.suppress(KilledError):
            world.reconcile()
        fewest = min(fewest, sum(one.available_replicas for one in world.deployments().values()))
        world.wait(10)

    assert world.kill_after < 0, "it was killed"
    assert world.settle().stable == world.new
    assert world.replicas() == {world.new: 2}
    assert fewest >= 1
    assert world.made == [f"spam-{world.old}", f"spam-{world.new}"]


def test_recreate_stops_all_old_pods_before_the_first_new_one() -> None:
    world = World(replicas=3, rollout={"strategy": "Recreate", "contract": "Ignore"})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.reconcile()
    new = str(world.status["targetRevision"])
    assert world.replicas() == {old: 3, new: 0}, "the new Deployment can be made"
    world.reconcile()
    assert world.replicas() == {old: 0, new: 0}
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=1)
    world.reconcile()
    assert world.replicas() == {old: 0, new: 0}

    world.settle()

    assert world.replicas() == {new: 3}


def test_recreate_whose_spec_becomes_invalid_in_the_middle_waits_for_old_pods_all_the_same() -> None:
    world = World(replicas=2, rollout={"strategy": "Recreate"})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.reconcile()
    new = str(world.status["targetRevision"])
    world.edit(batching={"maxBatchSize": "many"})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert world.replicas() == {old: 0, new: 0}
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=2)
    world.reconcile()
    assert world.replicas() == {old: 0, new: 0}, "never two versions at the same time"

    world.settle()

    assert world.replicas() == {new: 2}


def test_recreate_that_fails_goes_back_the_same_way() -> None:
    world = World(replicas=2, rollout={"strategy": "Recreate"})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.reconcile()
    new = str(world.status["targetRevision"])
    world.broken.add(new)
    for _ in range(4):
        world.reconcile()
        world.run_controllers()
    assert world.replicas() == {old: 0, new: 2}
    world.wait(3000)
    world.reconcile()
    assert world.replicas() == {old: 0, new: 0}

    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Ready")["status"] == "False"
