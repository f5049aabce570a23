"""What the activator itself answers, in the words of the servers of the pods. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}


@dataclass(frozen=True)
class Answer:
    """A status, and a body that says why."""

    status: int
    message: str
    retry_after_seconds: int | None = None

    @property
    def reason(self) -> bytes:
        """The phrase of the status."""
        return REASONS.get(self.status, b"")

    @property
    def body(self) -> bytes:
        """The message, as every protocol of the servers has it."""
        return json.dumps({"error": self.message}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields that go with it."""
        found = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self.body)).encode()),
        ]
        if self.retry_after_seconds is not None:
            found.append((b"retry-after", str(self.retry_after_seconds).encode()))
        return found
