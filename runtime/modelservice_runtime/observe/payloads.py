"""Bodies in the access log, without what nobody shall read there.

JSON alone is shown: in it a rule can say what is to be masked. What is not JSON, is too long, or could not be
masked is left out, with the reason.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from jsonpath import JSONPathError

from modelservice_runtime.observe.exchange import Exchange
from modelservice_runtime.settings.access_log import compile_mask

Document: TypeAlias = dict[str, Any] | list[Any]
MASK = "***"
_MAX_DEPTH = 64
_OK = 200
_REFUSED = frozenset({401, 403})


class PayloadView:
    """What the lines of an access log show of bodies."""

    def __init__(self, max_bytes: int, masks: Sequence[str]) -> None:
        """Show bodies of up to `max_bytes`. Raises InvalidSettingsError for what is not a JSONPath."""
        self._max_bytes = max_bytes
        self._masks = [compile_mask(mask) for mask in masks]

    def fields(self, exchange: Exchange) -> dict[str, object]:
        """`request` and `response`, or `request_left_out` and `response_left_out` with the reason."""
        if exchange.protocol != "http":
            return {"request_left_out": exchange.protocol}
        if exchange.method != "POST":  # nothing was sent, and what is told is the same for everybody
            return {}
        if exchange.status in _REFUSED:
            return {"request_left_out": "refused"}
        asked = self._describe("request", exchange.request_body, exchange.request_bytes)
        if self._masks and exchange.status != _OK:
            return {**asked, "response_left_out": "an error, which may quote what is masked"}
        return {**asked, **self._describe("response", exchange.response_body, exchange.response_bytes)}

    def _describe(self, name: str, body: bytes | None, size_bytes: int) -> dict[str, object]:
        if not size_bytes:
            return {}
        if size_bytes > self._max_bytes:
            return {f"{name}_left_out": f"{size_bytes} bytes, more than {self._max_bytes}"}
        if body is None:
            return {f"{name}_left_out": "a stream"}
        try:
            document = _parse(body)
        except (ValueError, RecursionError):
            return {f"{name}_left_out": "not JSON"}
        if _is_deep(document):
            return {f"{name}_left_out": f"nested more than {_MAX_DEPTH} deep"}
        try:
            return {name: self._masked(document)}
        except JSONPathError:
            return {f"{name}_left_out": "could not be masked"}

    def _masked(self, document: Document) -> object:
        for path in self._masks:
            for match in list(path.finditer(document)):
                if match.parent is None:
                    return MASK
                place: Any = match.parent.obj
                place[match.parts[-1]] = MASK
        return document


def _parse(body: bytes) -> Document:
    """Raises ValueError for everything but an object or a list, as bodies are."""
    document = json.loads(body, parse_float=_parse_float, parse_constant=str)
    if not isinstance(document, dict | list):
        raise ValueError(body[:1])  # noqa: TRY004 - of what the client sent
    return document


def _parse_float(text: str) -> float | str:
    """The number, or its text where a log in JSON could not say it."""
    value = float(text)
    return value if math.isfinite(value) else text


def _is_deep(document: object) -> bool:
    """Deeper than rules and the log's own writer can follow."""
    level = [document]
    for _ in range(_MAX_DEPTH):
        lists = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        level = [child for children in lists for child in children]
    return any(isinstance(one, dict | list) for one in level)
