"""Taking a ModelRuntime as it is now, because somebody asks for it: an annotation, pinned to its image. Pure.

The annotation's value is the image, or `IMAGE ANYTHING` to ask the same once more. It is acted on once: the
status records it together with what came of it. So a tool may take the annotation away in the middle, and
one that stays for ever asks nothing for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from modelservice_operator.decide.runtimes import RuntimeProblem, current_runtime, is_same_runtime
from modelservice_operator.facts import labels
from modelservice_operator.facts.recorded import is_given_up, why_given_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.decide.decision_facts import Facts
    from modelservice_operator.decide.revision import RecordedRuntime
    from modelservice_operator.decide.runtimes import RuntimeRequest

Phase = Literal["Progressing", "Complete", "Failed", "Refused"]
LONGEST_REQUEST = 640
_LONGEST_MESSAGE = 1024
"""The API's limits of the two: a status that breaks them is refused, with all that it says."""


class RuntimeUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the newest request."""

    request: str
    phase: Phase
    message: str
    revision: str = ""
    """The revision with the newer runtime, once there is one."""
    runtime: RecordedRuntime | None = None
    """What the target is made with, while the update goes on."""
    is_new: bool = False
    """Whether it begins now: then its revision is tried, whatever became of it before."""

    def heading_for(self, revision: str) -> RuntimeUpdate:
        """Return the same with the revision that takes the runtime: another one after an edit of the spec."""
        return replace(self, revision=revision) if self.runtime is not None else self

    @property
    def goes_on(self) -> bool:
        """Whether its end is still to come."""
        return self.phase == "Progressing"

    def when_stable(self, stable: str | None) -> RuntimeUpdate:
        """Return the same where this revision is stable from now on: it may be that of the update."""
        if not self.goes_on or not self.revision or stable != self.revision:
            return self
        return replace(self, phase="Complete", message=f"Revision {stable} has it.", runtime=None)


def find_update(facts: Facts, asked: RuntimeRequest) -> RuntimeUpdate | None:
    """Return what holds from now on, None where nobody asks for anything and nothing is to be told."""
    known = read_update(facts.status)
    request = _request(facts)
    if request and (known is None or known.request != request):
        return _begin(facts, asked, request)
    if known is None or known.phase in ("Complete", "Refused"):
        return known if request else None
    return _proceed(facts, asked, known) if known.phase == "Progressing" else known


def _request(facts: Facts) -> str:
    annotations = facts.observed.service["metadata"].get("annotations") or {}
    return str(annotations.get(labels.UPDATE_RUNTIME) or "").strip()[:LONGEST_REQUEST]


def _begin(facts: Facts, asked: RuntimeRequest, request: str) -> RuntimeUpdate:
    image = request.split()[0]
    stable = facts.history.revision(facts.stable)
    found = current_runtime(asked, facts.observed.runtimes)
    if isinstance(found, RuntimeProblem):
        return _refused(request, found.message)
    if stable is None:
        return _refused(request, "a first deployment takes the ModelRuntime as it is.")
    if stable.snapshot.runtime.requested != asked.ref:
        return _refused(request, "spec.runtime.ref has changed, which takes the ModelRuntime as it is.")
    now = found.image_for(asked.domain)
    if now != image:
        return _refused(request, f"the image of ModelRuntime {found.name!r} is {now} now.")
    if is_same_runtime(stable.snapshot.runtime, found, asked.domain):
        return _refused(request, f"revision {stable.name} has it.")
    return RuntimeUpdate(
        request=request, phase="Progressing", message=f"Going to {image}.", runtime=found, is_new=True
    )


def _refused(request: str, why: str) -> RuntimeUpdate:
    return RuntimeUpdate(request=request, phase="Refused", message=f"Nothing was done: {why}")


def find_end(facts: Facts, known: RuntimeUpdate) -> RuntimeUpdate | None:
    """Return what came of a revision that serves, or was given up; None while that is open."""
    revision = known.revision
    if revision and facts.stable == revision:
        return known.when_stable(facts.stable)
    if not revision or not is_given_up(facts.status, revision):
        return None
    why = f"Revision {revision} was given up: the runtime that was recorded before stays."
    why = f"{why} {why_given_up(facts.status, revision)}".rstrip()
    return replace(known, phase="Failed", message=why)


def _proceed(facts: Facts, asked: RuntimeRequest, known: RuntimeUpdate) -> RuntimeUpdate:
    if (over := find_end(facts, known)) is not None:
        return over
    runtime = _runtime_of(facts, asked, known)
    if runtime is None or runtime.requested != asked.ref:
        why = "The ModelRuntime or spec.runtime.ref changed before there was a revision: ask again."
        return replace(known, phase="Failed", message=why)
    return replace(known, runtime=runtime)


def _runtime_of(facts: Facts, asked: RuntimeRequest, known: RuntimeUpdate) -> RecordedRuntime | None:
    """Return what its revision recorded, or the ModelRuntime as long as it is the one that was asked for."""
    recorded = facts.history.revision(known.revision or None)
    if recorded is not None:
        return recorded.snapshot.runtime
    found = current_runtime(asked, facts.observed.runtimes)
    is_it = (
        not isinstance(found, RuntimeProblem) and found.image_for(asked.domain) == known.request.split()[0]
    )
    return found if is_it and not isinstance(found, RuntimeProblem) else None


def read_update(status: Mapping[str, Any]) -> RuntimeUpdate | None:
    """Return what the status has recorded."""
    return read_record(status, "update")


def read_record(status: Mapping[str, Any], field: str) -> RuntimeUpdate | None:
    """Return what the status has recorded in a field of `status.runtime`."""
    known = (status.get("runtime") or {}).get(field) or {}
    if not known.get("request"):
        return None
    return RuntimeUpdate(
        request=str(known["request"]),
        phase=known.get("phase") or "Refused",
        message=str(known.get("message") or ""),
        revision=str(known.get("revision") or ""),
    )


def write_update(update: RuntimeUpdate) -> dict[str, Any]:
    """Return `status.runtime.update`."""
    message = update.message[:_LONGEST_MESSAGE]
    told = {"request": update.request, "phase": update.phase, "message": message}
    return {**told, "revision": update.revision} if update.revision else told
