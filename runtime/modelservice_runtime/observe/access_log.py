"""One log line for a request: what was asked for and what came of it; bodies only where they are wanted."""

import logging
from typing import TYPE_CHECKING

from modelservice_runtime.observe.exchange import Exchange

if TYPE_CHECKING:
    from modelservice_runtime.observe.payloads import PayloadView

log = logging.getLogger("modelservice_runtime.access")


class AccessLog:
    """Logs a share of the requests, evenly spread: with a rate of 0.1 every tenth."""

    def __init__(self, rate: float, payloads: "PayloadView | None" = None) -> None:
        self._rate = rate
        self._payloads = payloads
        self._due = 1.0 - rate

    def __call__(self, exchange: Exchange) -> None:
        """Log the exchange if it is its turn."""
        self._due += self._rate
        if self._due >= 1.0:
            self._due -= 1.0
            bodies = {} if self._payloads is None else self._payloads.fields(exchange)
            log.info("request", extra=access_fields(exchange) | bodies)


def access_fields(exchange: Exchange) -> dict[str, object]:
    """The fields of a line; what is not known is left out."""
    fields: dict[str, object] = {
        "protocol": exchange.protocol,
        "method": exchange.method,
        "route": exchange.route,
        "model": exchange.model,
        "status": exchange.status,
        "request_bytes": exchange.request_bytes,
        "response_bytes": exchange.response_bytes,
        "milliseconds": round(exchange.duration_ns / 1e6, 3),
        "prompt_tokens": exchange.told.get("gen_ai.usage.input_tokens"),
        "completion_tokens": exchange.told.get("gen_ai.usage.output_tokens"),
        "request_id": exchange.request_id,
    }
    if exchange.trace is not None:
        fields |= {"trace_id": exchange.trace.trace_id, "span_id": exchange.trace.span_id}
    return {name: value for name, value in fields.items() if value is not None}
