"""What the Job of an evaluation measured, as it says in its termination message and as a status keeps it."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Score(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One measurement of a model, and of the old one on the same rows."""

    value: float
    """The new model's, more is better."""
    rows: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    stable: float | None = None
    """The old model's."""
    bound: float | None = None
    """By 95 percent, how much less the new one's is at most."""
    model_sha256: Sha256 | None = None
    stable_sha256: Sha256 | None = None
    data_sha256: Sha256 | None = None

    @property
    def is_finite(self) -> bool:
        """Whether every number is one."""
        return all(math.isfinite(one) for one in (self.value, self.stable, self.bound) if one is not None)

    def beside_itself(self) -> Score:
        """Return the same for an old model that is the new one."""
        return msgspec.structs.replace(self, stable=self.value, bound=0.0, stable_sha256=self.model_sha256)


class Refusal(msgspec.Struct, frozen=True):
    """Why a container of the Job could not do its part."""

    reason: str
    message: str


def parse_score(text: str) -> Score | None:
    """Read a termination message; None for any other text."""
    try:
        return msgspec.json.decode(text, type=Score)
    except msgspec.MsgspecError:
        return None


def parse_refusal(text: str) -> Refusal | None:
    """Read the termination message of a container that failed; None for any other text."""
    try:
        return msgspec.json.decode(text, type=Refusal)
    except msgspec.MsgspecError:
        return None
