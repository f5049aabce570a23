"""What a diagnosis answers, and what it may know beside the pod. Imports nothing of the operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a revision is not available."""

    reason: str
    message: str
    """What is wrong and what to do; true also where nothing is being tried any more."""
    failing: bool = True
    """False for steps that only take their time."""
    heals: bool = False
    """Whether pods that are being tried start without another edit once this is mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where the revision stands: a remedy that is right for a first deploy may be wrong in a rollout."""

    service: str = ""
    """The ModelService; its NetworkPolicy has the same name."""
    runtime: str = ""
    """The ModelRuntime that the revision was made with."""
    keeps_runtime: bool = False
    """Whether the revision keeps what is recorded, however that ModelRuntime is changed."""
    is_surge: bool = False
    """Whether pods of another revision hold their place until this one's are available."""
    has_policy: bool = False
    """Whether a NetworkPolicy of ours selects the pods."""

    @property
    def room(self) -> str:
        """How to do without room for one more pod, where that is what is missing; else nothing."""
        if not self.is_surge:
            return ""
        return (
            "The pods of the old revision hold theirs until this one is available: with "
            "spec.rollout.maxSurge: 0 and maxUnavailable: 1 one of them goes first. "
        )

    @property
    def correct_image(self) -> str:
        """How to get another image."""
        name = f"ModelRuntime {self.runtime!r}" if self.runtime else "the ModelRuntime"
        if self.keeps_runtime:
            return (
                f"name a ModelRuntime with another image in spec.runtime.ref ({name} was recorded as it was)"
            )
        return f"correct the image of {name}"
