"""The course of a change: the next step of its rollout, and what was found on the way to it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from modelservice_operator.decide.change.evaluating import is_asked_anew
from modelservice_operator.decide.change.rollout_state import observe_rollout
from modelservice_operator.decide.change.steering import read_steering
from modelservice_operator.decide.looks import has_unavailable_pods
from modelservice_operator.decide.rollout.room.leaving import count_leaving
from modelservice_operator.decide.standby.read import read_switch
from modelservice_operator.decide.standby.switch import next_switch
from modelservice_operator.decide.standby.wakening import find_another_than_0

if TYPE_CHECKING:
    from modelservice_operator.decide.change.steering import Steering
    from modelservice_operator.decide.change.wish import Wish
    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.decide.rollout.model import Plan, RolloutState
    from modelservice_operator.decide.rollout.room.leaving import Leaving
    from modelservice_operator.decide.standby.switch import Switch


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service goes now."""

    wish: Wish
    """What is wanted, with the pods that the activator asks for."""
    state: RolloutState
    step: Plan
    switch: Switch
    steering: Steering
    leaving: Leaving
    waits: bool
    """Whether it goes on when pods have changed: some are not available, or have to be gone first."""


def find_course(facts: Facts, wish: Wish, target: Revision) -> Course:
    """Return where the service goes now, on its way to the target."""
    serving = facts.history.revision(facts.stable) or target
    switch = next_switch(read_switch(facts, wish.spec, wish.replicas, serving), facts.now)
    if wish.spec is not None and wish.beginning is None:
        beginning = find_another_than_0(switch, wish.replicas, facts.observed)
        wish = wish if beginning is None else replace(wish, beginning=beginning)
    wish = wish.at_least(switch.floor)
    leaving = count_leaving(facts.observed, facts.history.deployments, facts.now)
    steering = read_steering(facts, target.name)
    if wish.updates.is_new or is_asked_anew(facts, wish, target.name):
        steering = steering.trying_again(target.name)
    state = observe_rollout(facts, wish, target.name, leaving, steering)
    step = wish.next_step(state, facts.now)
    if step.phase == "Aborted" and step.progress is not None and step.progress.reason:
        steering = steering.with_aborted(target.name)
    return Course(
        wish=wish,
        state=state,
        step=step,
        switch=switch,
        steering=steering,
        leaving=leaving,
        waits=step.waits_for_leaving or has_unavailable_pods(facts, step),
    )
