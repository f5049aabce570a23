"""Who asks, by what they showed beside a certificate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The name of an API key, or the subject of a token; neither where neither is asked for."""

    api_key: str | None = None
    token_subject: str | None = None

    def __str__(self) -> str:
        """One name for all that this caller asks, and for nobody else; empty for nobody."""
        if self.api_key is not None:
            return f"key {self.api_key}"
        return "" if self.token_subject is None else f"token {self.token_subject}"


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller, and until when what they showed is good: seconds since the epoch."""

    caller: Caller
    expires: float


NOBODY = Caller()
