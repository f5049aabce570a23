"""Calls that may last for ever, so that a server that leaves can end them."""

import logging
from typing import Protocol, runtime_checkable
from weakref import WeakSet

from modelservice_runtime.transport.status import GrpcStatus

log = logging.getLogger(__name__)


@runtime_checkable
class Endable(Protocol):
    """A call without a natural end."""

    def end_when_idle(self, status: GrpcStatus, message: str) -> None:
        """Finish the call as soon as nothing is under way on it."""


class OpenStreams:
    """The open calls; one that has ended is forgotten with its handler. Event loop's thread only."""

    def __init__(self) -> None:
        self._open: WeakSet[Endable] = WeakSet()

    def add(self, stream: Endable) -> None:
        """Remember a call."""
        self._open.add(stream)

    def end_all(self) -> None:
        """End every call once its requests are answered; clients take UNAVAILABLE as: connect again."""
        for stream in list(self._open):
            try:
                stream.end_when_idle(GrpcStatus.UNAVAILABLE, "the server is leaving; connect again")
            except Exception:  # the last boundary: the others end all the same
                log.exception("internal error with a call")
