"""From settings and environment to observers: nothing configured means nothing in the request's way."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from modelservice_runtime.observe.access_log import AccessLog
from modelservice_runtime.observe.background import BackgroundObserver
from modelservice_runtime.observe.exchange import Exchange, Observer
from modelservice_runtime.observe.grpc import observe_services
from modelservice_runtime.observe.http import ObservedApplication
from modelservice_runtime.protocols.grpc_services import GrpcServices
from modelservice_runtime.transport.http import HttpApplication

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CLOSE_SECONDS = 2.0


class _Closable(Protocol):
    def __call__(self, exchange: Exchange) -> None: ...

    def close(self) -> None: ...


class Observation:
    """The access log and the traces of one server; without either, applications stay as they are."""

    def __init__(self, access_log_rate: float, tracer: _Closable | None) -> None:
        observers: list[Observer] = []
        if access_log_rate > 0:
            observers.append(AccessLog(access_log_rate))
        if tracer is not None:
            observers.append(tracer)
        self._tracer = tracer
        self._background = BackgroundObserver(observers) if observers else None

    def watch(self, application: HttpApplication) -> HttpApplication:
        """Put the observers around an HTTP front end."""
        return application if self._background is None else ObservedApplication(application, self._background)

    def watch_services(self, services: GrpcServices) -> GrpcServices:
        """Put the observers around the gRPC services."""
        if self._background is None:
            return services
        return replace(services, by_path=observe_services(services.by_path, self._background))

    def close(self) -> None:
        """Write and send what is left, for a bounded time."""
        if self._background is not None:
            self._background.close(_CLOSE_SECONDS)
        if self._tracer is not None:
            self._tracer.close()


def make_observation(access_log_rate: float, environment: Mapping[str, str]) -> Observation:
    """The observers that the settings and the standard OTEL variables ask for."""
    return Observation(access_log_rate, _find_tracer(environment))


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector for traces and does not switch them off."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def _find_tracer(environment: Mapping[str, str]) -> _Closable | None:
    if not wants_traces(environment):
        return None
    try:
        # Imported here: it takes tens of megabytes that a server without traces can save.
        from modelservice_runtime.observe.tracing import make_tracer
    except ModuleNotFoundError:
        log.warning(
            "the environment asks for traces, but OpenTelemetry is not installed; "
            "install it with: pip install 'modelservice[otel]'"
        )
        return None
    return make_tracer(environment)
