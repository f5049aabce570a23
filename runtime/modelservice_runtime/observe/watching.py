"""The observers of a server, and where they are put."""

from collections.abc import Mapping
from typing import Protocol

from modelservice_runtime.observe.access_log import AccessLog
from modelservice_runtime.observe.background import CAPACITY, BackgroundObserver
from modelservice_runtime.observe.exchange import Exchange, Stage
from modelservice_runtime.observe.grpc import observe_services
from modelservice_runtime.observe.http import ObservedApplication
from modelservice_runtime.observe.observation import Observation
from modelservice_runtime.observe.payloads import PayloadView
from modelservice_runtime.settings.access_log import AccessLogSettings
from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication

_CLOSE_SECONDS = 2.0
# Of requests and answers that wait to be logged.
_MAX_WAITING_BYTES = 32 * 1024 * 1024


class ClosableObserver(Protocol):
    """A stage that may have something left to send."""

    def __call__(self, exchange: Exchange) -> Exchange | None:
        """Note what was asked and answered; see `Stage`."""

    def close(self) -> None:
        """Send it, for a bounded time."""


class Watching(Observation):
    """The access log and the traces of one server."""

    def __init__(self, access_log: AccessLogSettings, tracer: ClosableObserver | None) -> None:
        stages: list[Stage] = []
        if tracer is not None:
            stages.append(tracer)
        capacity, self._payload_bytes = CAPACITY, access_log.payload_bytes
        view = None
        if self._payload_bytes:
            view = PayloadView(self._payload_bytes, access_log.masks)
            capacity = min(CAPACITY, _MAX_WAITING_BYTES // (2 * self._payload_bytes))
        if access_log.rate > 0:
            stages.append(AccessLog(access_log.rate, view))  # knows the span by then
        self._tracer = tracer
        self._background = BackgroundObserver(stages, capacity)

    def watch(self, application: HttpApplication) -> HttpApplication:
        """See `Observation`."""
        return ObservedApplication(application, self._background, self._payload_bytes)

    def watch_services(self, services: Mapping[str, Service]) -> Mapping[str, Service]:
        """See `Observation`."""
        return observe_services(services, self._background)

    def close(self) -> None:
        """See `Observation`."""
        self._background.close(_CLOSE_SECONDS)
        if self._tracer is not None:
            self._tracer.close()
