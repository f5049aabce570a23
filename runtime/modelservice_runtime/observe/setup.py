"""From settings and environment to observers: nothing configured means nothing in the request's way."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelservice_runtime.observe.observation import Observation
from modelservice_runtime.settings.access_log import AccessLogSettings

if TYPE_CHECKING:
    from modelservice_runtime.observe.watching import ClosableObserver

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def make_observation(access_log: AccessLogSettings, environment: Mapping[str, str]) -> Observation:
    """The observers that the settings and the standard OTEL variables ask for."""
    tracer = _find_tracer(environment)
    if tracer is None and access_log.rate <= 0:
        return Observation()
    # Imported here: most servers log and trace no requests.
    from modelservice_runtime.observe.watching import Watching

    return Watching(access_log, tracer)


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector for traces and does not switch them off."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def find_other_protocol(environment: Mapping[str, str]) -> str | None:
    """The variable that asks for another protocol than the one that traces are sent with, or None."""
    name = next((name for name in _PROTOCOLS if environment.get(name, "").strip()), None)
    return None if name is None or environment[name].strip().lower() == _PROTOCOL else name


def _find_tracer(environment: Mapping[str, str]) -> "ClosableObserver | None":
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
    other = find_other_protocol(environment)
    if other is not None:
        log.warning(
            "traces are sent as http/protobuf alone; "
            "the endpoint must be the collector's port for HTTP, usually 4318",
            extra={other: environment[other]},
        )
    return make_tracer(environment)
