"""Taking the image that a RuntimeRollout assigns, or taking back the one from before. Pure.

It is read in the RuntimeRollout's status and goes the way of a newer runtime that a person asks for
(`runtime_update`): by the service's own rollout and gates. It is acted on once: the status records it with
what came of it. So an assignment that is gone, with its RuntimeRollout, takes nothing back, and an edit of
the spec keeps the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from modelservice_operator.decide.change.runtime_update import RuntimeUpdate, find_end, read_record
from modelservice_operator.decide.runtimes import RuntimeProblem, current_runtime, is_same_runtime, runtime_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.revision import RecordedRuntime, Revision
    from modelservice_operator.decide.runtimes import RuntimeRequest
    from modelservice_operator.facts.fleet import Assignment

FIELD = "assigned"


class Updates(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the wishes for another runtime: a person's, and a RuntimeRollout's."""

    asked: RuntimeUpdate | None = None
    assigned: RuntimeUpdate | None = None

    @property
    def runtime(self) -> RecordedRuntime | None:
        """What the target is made with, while one of them goes on; a person's wish goes first."""
        return next((one.runtime for one in self._both if one.runtime is not None), None)

    @property
    def is_new(self) -> bool:
        """Whether one begins now."""
        return any(one.is_new for one in self._both)

    @property
    def goes_on(self) -> bool:
        """Whether an end is still to come."""
        return any(one.goes_on for one in self._both)

    @property
    def _both(self) -> tuple[RuntimeUpdate, ...]:
        return tuple(one for one in (self.asked, self.assigned) if one is not None)

    def heading_for(self, revision: str) -> Updates:
        """Return the same with the revision that takes the runtime."""
        return self._each(lambda one: one.heading_for(revision))

    def when_stable(self, stable: str | None) -> Updates:
        """Return the same where this revision is stable from now on."""
        return self._each(lambda one: one.when_stable(stable))

    def _each(self, change: Callable[[RuntimeUpdate], RuntimeUpdate]) -> Updates:
        return Updates(
            asked=change(self.asked) if self.asked else None,
            assigned=change(self.assigned) if self.assigned else None,
        )


def find_assigned(
    facts: Facts, request: RuntimeRequest, *, is_pinned: bool, asked: RuntimeUpdate | None
) -> RuntimeUpdate | None:
    """Return what holds from now on, None where nothing was ever assigned.

    `asked` is what a person wishes: another runtime than the assigned one takes its place.
    """
    known, told = read_record(facts.status, FIELD), facts.observed.assignment
    if told is not None and not is_pinned and (known is None or known.request != told.request):
        known = _begin(facts, request, told)
    elif known is not None and known.goes_on:
        known = _proceed(facts, request, known)
    if known is None or known.runtime is None or asked is None or asked.runtime in (None, known.runtime):
        return known
    return _refused(known.request, "somebody asked for another runtime.")


def _begin(facts: Facts, request: RuntimeRequest, told: Assignment) -> RuntimeUpdate:
    stable = facts.history.revision(facts.stable)
    if stable is None:
        return _refused(told.request, "a first deployment takes the ModelRuntime as it is.")
    if stable.snapshot.runtime.requested != request.ref:
        return _refused(told.request, "spec.runtime.ref has changed, which takes the ModelRuntime as it is.")
    if told.runtime is not None and told.runtime["metadata"]["name"] != stable.snapshot.runtime.name:
        return _refused(told.request, f"it has ModelRuntime {stable.snapshot.runtime.name!r} now.")
    runtime = _runtime_from_before(facts, request, stable, told.image) if told.is_back else None
    runtime = runtime or _runtime_with(facts, request, stable, told)
    if is_same_runtime(stable.snapshot.runtime, runtime, request.domain):
        return RuntimeUpdate(
            request=told.request,
            phase="Complete",
            message=f"Revision {stable.name} has it.",
            revision=stable.name,
        )
    return RuntimeUpdate(
        request=told.request,
        phase="Progressing",
        message=f"{'Going back' if told.is_back else 'Going'} to {told.image}.",
        runtime=runtime,
        is_new=True,
    )


def _runtime_with(
    facts: Facts, request: RuntimeRequest, stable: Revision, told: Assignment
) -> RecordedRuntime:
    """Return the ModelRuntime as the run began with it, with the assigned image whichever it names."""
    recorded, image = stable.snapshot.runtime, told.image
    if told.runtime is not None:
        found = runtime_of(request, told.runtime)
    else:
        found = current_runtime(request, facts.observed.runtimes)
    if isinstance(found, RuntimeProblem) or found.name != recorded.name:
        found = recorded
    field = found.image_field(request.domain)
    if field == "gpuImages":
        return msgspec.structs.replace(found, gpu_images={**found.gpu_images, str(request.domain): image})
    changes = {"gpu_image" if field == "gpuImage" else "image": image}
    return msgspec.structs.replace(found, **changes)


def _runtime_from_before(
    facts: Facts, request: RuntimeRequest, stable: Revision, image: str
) -> RecordedRuntime | None:
    """Return the newest record of this ModelRuntime with the image, None where none is kept any more."""
    revisions = (facts.history.revision(name) for name in facts.history.records)
    runtimes = {one.number: one.snapshot.runtime for one in revisions if one is not None}
    for _, runtime in sorted(runtimes.items(), reverse=True):
        is_it = runtime.name == stable.snapshot.runtime.name and runtime.requested == request.ref
        if is_it and runtime.image_for(request.domain) == image:
            return runtime
    return None


def _proceed(facts: Facts, request: RuntimeRequest, known: RuntimeUpdate) -> RuntimeUpdate:
    if (over := find_end(facts, known)) is not None:
        return over
    recorded = facts.history.revision(known.revision or None)
    if recorded is None or recorded.snapshot.runtime.requested != request.ref:
        return _refused(known.request, "spec.runtime.ref changed, or there is no record of its revision.")
    return replace(known, runtime=recorded.snapshot.runtime)


def _refused(request: str, why: str) -> RuntimeUpdate:
    return RuntimeUpdate(request=request, phase="Refused", message=f"Nothing was done: {why}")
