"""What a diagnosis answers, and what it may know beside the pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from modelservice_operator.facts.nodes import Node

Surge = Literal["None", "Tried", "Waits", "Stopping", "GivesWay", "NeedsLeave"]
"""Whether a pod of the surge finds no room that old pods hold, and what then: before long one of those goes
(GivesWay), or is stopping already (Stopping); it would if it were not the only one (NeedsLeave); or nothing
(Waits)."""
_HOLD = "The pods of the old revision hold theirs until this one is available: "
_ROOM: dict[Surge, str] = {
    "None": "",
    "Tried": "",
    "Waits": f"{_HOLD}with spec.rollout.maxSurge: 0 and maxUnavailable: 1 one of them goes first. ",
    "Stopping": "Pods that are stopping hold theirs still: their end is waited for. ",
    "GivesWay": f"{_HOLD}if there is still no room soon, one of them goes first. ",
    "NeedsLeave": f"{_HOLD}with spec.rollout.allowDowntime: true the old one goes first. ",
}


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a revision is not available."""

    reason: str
    message: str
    """What is wrong and what to do; true also where nothing is being tried any more."""
    failing: bool = True
    """False for steps that only take their time."""
    heals: bool = False
    """Whether pods that are being tried start without another edit once this is mended."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Where the revision stands: a remedy that is right for a first deploy may be wrong in a rollout."""

    service: str = ""
    """The ModelService; its NetworkPolicy has the same name."""
    runtime: str = ""
    """The ModelRuntime that the revision was made with."""
    keeps_runtime: bool = False
    """Whether the revision keeps what is recorded, however that ModelRuntime is changed."""
    surge: Surge = "None"
    """What happens where a pod of this revision finds no room while those of another hold theirs."""
    has_policy: bool = False
    """Whether a NetworkPolicy of ours selects the pods."""
    nodes: tuple[Node, ...] | None = None
    """All nodes of the cluster, None where they are not known."""

    @property
    def room(self) -> str:
        """How to do without room for one more pod, where that is what is missing; else nothing."""
        return _ROOM[self.surge]

    @property
    def heals(self) -> bool:
        """Whether the rollout itself makes room before long: that needs no person."""
        return self.surge in ("GivesWay", "Stopping")

    @property
    def one_first(self) -> str:
        """The same, where only a person can know that it would help."""
        return _ROOM["Waits"] if self.surge == "Tried" else self.room

    @property
    def correct_image(self) -> str:
        """How to get another image."""
        name = f"ModelRuntime {self.runtime!r}" if self.runtime else "the ModelRuntime"
        if self.keeps_runtime:
            return (
                f"name a ModelRuntime with another image in spec.runtime.ref ({name} was recorded as it was)"
            )
        return f"correct the image of {name}"
