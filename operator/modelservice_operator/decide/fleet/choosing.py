"""Who the members of a run are, in which wave, and what each gets: decided once, at its start. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import InvalidSpec, parse_model_runtime
from modelservice_operator.api.fleet_status import MOST_IMAGES
from modelservice_operator.api.runtimerollout import MOST_MEMBERS
from modelservice_operator.decide.fleet.model import WaveState
from modelservice_operator.decide.revision import image_domain_in, record_runtime
from modelservice_operator.decide.runtimes import has_image
from modelservice_operator.facts.fleet import UID_LENGTH, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modelservice_operator.api.runtimerollout import MemberSelector, RolloutTarget, RuntimeRolloutSpec
    from modelservice_operator.decide.revision import RecordedRuntime


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The members in their order, which is by wave and then by name."""

    members: tuple[Member, ...]
    waves: tuple[WaveState, ...]
    runtime: Mapping[str, Any]
    """The spec of the ModelRuntime, as read."""


class ChoiceProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has to mend before anybody can be chosen, or may start.

    `reason` is `RuntimeNotFound`, `RuntimeInvalid`, `ImageNotNamed`, `TooManyMembers`, `WindowInvalid`,
    `StatusUnreadable` or `InvalidSpec`.
    """

    reason: str
    message: str

    @property
    def may_pass(self) -> bool:
        """Whether the ModelRuntime may still be on its way: whoever applies both does so in any order."""
        return self.reason in ("RuntimeNotFound", "ImageNotNamed")


def choose_members(
    spec: RuntimeRolloutSpec, services: Iterable[Mapping[str, Any]], runtimes: Sequence[Mapping[str, Any]]
) -> Choice | ChoiceProblem:
    """Return the members among all ModelServices, as read.

    A service whose first deployment is not complete is none: it takes the ModelRuntime as it is.
    """
    found = _find_runtime(spec.target, runtimes)
    if isinstance(found, ChoiceProblem):
        return found
    runtime = _read_runtime(spec.target, found)
    if isinstance(runtime, ChoiceProblem):
        return runtime
    by_wave: list[list[Member]] = [[] for _ in spec.waves]
    for service in services:
        member = _as_member(service, spec.target, runtime) if _takes(spec.selector, service) else None
        if member is not None:
            by_wave[_wave_of(spec, service)].append(member)
    members = tuple(one for wave in by_wave for one in sorted(wave, key=lambda member: member.name))
    problem = _too_many(members)
    if problem is not None:
        return problem
    waves = zip(spec.waves, by_wave, strict=True)
    return Choice(
        members=members,
        runtime=found["spec"],
        waves=tuple(
            WaveState(name=wave.name, members=len(taken), needs_approval=wave.approval)
            for wave, taken in waves
        ),
    )


def _too_many(members: Sequence[Member]) -> ChoiceProblem | None:
    """What does not fit into a status is refused."""
    images = {image for member in members for image in (member.had, member.gets)}
    for count, most, what in (
        (len(members), MOST_MEMBERS, "ModelServices"),
        (len(images), MOST_IMAGES, "different images"),
    ):
        if count > most:
            return ChoiceProblem(
                reason="TooManyMembers",
                message=f"spec.selector takes {count} {what}, and one RuntimeRollout has at most {most}: "
                "choose fewer, by namespaces or labels.",
            )
    return None


def _find_runtime(
    target: RolloutTarget, runtimes: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | ChoiceProblem:
    found = next((one for one in runtimes if one["metadata"]["name"] == target.runtime), None)
    return found or ChoiceProblem(
        reason="RuntimeNotFound",
        message=f"ModelRuntime {target.runtime!r} does not exist: create it, or correct spec.target.runtime.",
    )


def _read_runtime(target: RolloutTarget, found: Mapping[str, Any]) -> RecordedRuntime | ChoiceProblem:
    try:
        runtime = record_runtime(None, parse_model_runtime(found))
    except InvalidSpec as error:
        return ChoiceProblem(
            reason="RuntimeInvalid",
            message=f"ModelRuntime {target.runtime!r} is invalid, correct it: {error}",
        )
    named = {runtime.image, runtime.gpu_image, *runtime.gpu_images.values()}
    if target.image is not None and target.image not in named:
        return ChoiceProblem(
            reason="ImageNotNamed",
            message=f"ModelRuntime {target.runtime!r} does not name {target.image}, it names "
            f"{runtime.image}: change it there, or correct spec.target.image.",
        )
    return runtime


def _as_member(service: Mapping[str, Any], target: RolloutTarget, runtime: RecordedRuntime) -> Member | None:
    metadata, status = service["metadata"], service.get("status") or {}
    had = status.get("runtime") or {}
    if had.get("ref") != target.runtime or not status.get("stableRevision"):
        return None
    if metadata.get("deletionTimestamp"):
        return None
    domain = image_domain_in(service["spec"])
    gets = runtime.image_for(domain)
    if not has_image(runtime, domain) or (target.image is not None and gets != target.image):
        return None
    name = f"{metadata['namespace']}/{metadata['name']}"
    return Member(
        name=name, uid=metadata["uid"][:UID_LENGTH], had=had.get("stableImage") or had["image"], gets=gets
    )


def _wave_of(spec: RuntimeRolloutSpec, service: Mapping[str, Any]) -> int:
    taken = (
        number
        for number, wave in enumerate(spec.waves)
        if wave.selector is None or _takes(wave.selector, service)
    )
    return next(taken)  # the last one takes the rest


def _takes(selector: MemberSelector, service: Mapping[str, Any]) -> bool:
    metadata = service["metadata"]
    if selector.namespaces is not None and metadata["namespace"] not in selector.namespaces:
        return False
    labels = metadata.get("labels") or {}
    wanted = (selector.match_labels or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _holds(one.operator, labels.get(one.key), one.values or ())
        for one in selector.match_expressions or ()
    )


def _holds(operator: str, value: str | None, values: Sequence[str]) -> bool:
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return (value is not None) == (operator == "Exists")
