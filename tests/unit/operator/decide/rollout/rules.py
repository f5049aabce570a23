"""What holds in every strategy and every state, checked after each write of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modelservice_operator.decide.rollout.room.limits import max_surge_pods, max_unavailable_pods

if TYPE_CHECKING:
    from tests.unit.operator.decide.rollout.fleet import Fleet
    from tests.unit.operator.decide.standby.sleeper import Sleeper

    from modelservice_operator.decide.rollout.model import Capacity, Plan, RolloutSpec
    from modelservice_operator.facts.routes import RoutePlan


class Answering(NamedTuple):
    """The pods that answer clients, by the selector that is seen and by the one that was written last."""

    seen: int
    written: int
    occupied: int
    wanted: int
    """Pods of the target."""
    by_revision: dict[str, int]
    in_force: list[RoutePlan]
    """What gateways may go by."""

    @classmethod
    def of(cls, fleet: Fleet) -> Answering:
        by_revision = {name: one.answering for name, one in fleet.deployments.items()}
        return cls(
            seen=fleet.reach(fleet.seen),
            written=fleet.reach(fleet.written),
            occupied=fleet.occupied(),
            wanted=fleet.wanted().get(fleet.target, 0),
            by_revision=by_revision,
            in_force=fleet.in_force(),
        )


def needed(spec: RolloutSpec, capacity: Capacity | None) -> int:
    """Return the pods that have to answer, once there are so many."""
    has_no_room = capacity is not None and capacity.surge is not None
    if spec.strategy == "Recreate":
        return 0
    if spec.strategy == "BlueGreen":
        # One that is down may be replaced in its place too; then there is nothing to protect.
        return 0 if has_no_room and spec.allow_downtime else spec.replicas
    may_go = has_no_room and (spec.replicas > 1 or spec.allow_downtime)
    return spec.replicas - max(max_unavailable_pods(spec), int(may_go))


def most(spec: RolloutSpec) -> int:
    """Return the pods that may exist."""
    surge = {"Recreate": 0, "BlueGreen": spec.replicas}.get(spec.strategy, max_surge_pods(spec))
    return spec.replicas + surge


def check_pods(fleet: Fleet, result: Plan, before: Answering) -> None:
    """Check what one write has done."""
    least = min(needed(fleet.spec, result.capacity), before.seen)
    assert fleet.reach(fleet.seen) >= least, "clients have too few pods"
    assert fleet.reach(fleet.written) >= min(least, before.written), "clients will have too few pods"
    assert fleet.occupied() <= max(before.occupied, most(fleet.spec)), "more pods than the surge allows"
    has_no_more = fleet.wanted().get(fleet.target, 0) <= before.wanted
    assert has_no_more or not result.evaluates, "pods of what is being evaluated"
    check_admitted(fleet)


def check_gateways(fleet: Fleet, before: Answering) -> None:
    """Check that gateways, which hear of changes late, send no request to where nothing answers any more.

    Only what the operator does is its fault, and only where another pod could answer.
    """
    if not fleet.spec.replicas or not fleet.spec.is_routed or fleet.spec.strategy == "Recreate":
        return
    now = Answering.of(fleet)
    for told in now.in_force:
        for name, weight in (told.weights or {}).items():
            lost = before.by_revision.get(name, 0) and not now.by_revision.get(name, 0)
            assert not (weight and lost and any(now.by_revision.values())), (
                f"{name} has {weight} % and no pod"
            )
    if fleet.route is None or now.in_force == before.in_force:
        return
    assert sum((fleet.route.weights or {"": 100}).values()) == 100
    old = before.in_force[-1] if before.in_force else None
    had = (old.weights if old else None) or {}
    is_down = not any(now.by_revision.get(name) for name, weight in had.items() if weight)
    for name, weight in (fleet.route.weights or {}).items():
        if weight and not had.get(name) and old is not None and old.weights is not None and not is_down:
            since = fleet.deployments[name].answering_since
            assert since is not None, f"{name} gets requests at once"
            assert fleet.clock - since >= 3, f"{name} gets requests too early"
        if weight > had.get(name, 0 if old else 100):
            assert name in fleet.admitted or old is None or old.weights is None, f"{name} is not admitted"


def check_admitted(fleet: Fleet) -> None:
    """No pod answers clients whose inputs and outputs nobody has accepted."""
    for name, pods in fleet.deployments.items():
        if pods.available and (fleet.leads(fleet.seen, name) or fleet.leads(fleet.written, name)):
            assert name in fleet.admitted, f"clients reach {name}"


def check_plan(fleet: Fleet, result: Plan) -> None:
    """Check what a plan says, before it is carried out."""
    admit(fleet, result)
    assert sum(result.weights.values()) == 100
    led = {name: one for name, one in fleet.deployments.items() if fleet.leads(result.selector, name)}
    answering = {name for name, one in led.items() if min(one.reported[1], one.wanted)}
    sharing = {name for name, weight in result.weights.items() if weight}
    assert not answering or sharing <= answering, f"weights {result.weights} of {answering}"
    previous = result.progress.previous if result.progress else None
    dropped = fleet.deployments.keys() - result.replicas.keys()
    assert not dropped & {result.stable, previous}, "nothing to go back to"


def admit(fleet: Fleet, result: Plan) -> None:
    """Remember which revisions may get traffic: what was said of one holds."""
    fleet.admitted |= {one for one in (fleet.stable, result.stable) if one}
    progress = result.progress
    assert progress is not None
    accepted = {"Passed", "Unknown", *(() if fleet.spec.contract == "Enforce" else ("Failed",))}
    if fleet.spec.is_evaluated and progress.evaluation != "Passed" and not _was_begun(fleet):
        return
    if fleet.stable is None or fleet.spec.contract == "Ignore" or progress.contract in accepted:
        fleet.admitted.add(fleet.target)


def _was_begun(fleet: Fleet) -> bool:
    """Whether the first revision was started before anybody asked for its evaluation."""
    return fleet.stable is None and bool(fleet.wanted().get(fleet.target))


def check_covered(sleeper: Sleeper) -> None:
    """No pod answers because none is wanted: then the activator does, and all nodes know it."""
    assert sleeper.is_covered(), "the last pod is gone, and nodes lead nobody to an activator"


def check_led_again(sleeper: Sleeper) -> None:
    """The slice leads to no activator any more: clients find a pod, or nobody is left who could stand in."""
    fleet = sleeper.fleet
    nobody = not sleeper.may_sleep or not sleeper.listens & sleeper.ready
    assert fleet.reach(fleet.seen) > 0 or nobody, "the activator was taken away from clients too early"
