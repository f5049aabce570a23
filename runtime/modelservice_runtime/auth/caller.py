"""Who asks, by what they showed beside a certificate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The name of an API key, or the subject of a token; neither where neither is asked for."""

    api_key: str | None = None
    token_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller, and until when what they showed is good: seconds since the epoch."""

    caller: Caller
    expires: float


NOBODY = Caller()
