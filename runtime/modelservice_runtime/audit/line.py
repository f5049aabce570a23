"""The lines of the audit log; values and their form."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from modelservice_runtime.auth.caller import Caller
from modelservice_runtime.transport.client import Client

# A line fits the 4096 bytes that a pipe takes as a whole. What is cut stays longer than what is not, so no
# text can pass for another that was cut.
_MAX_TEXT_BYTES = 380
_SURELY_FITTING_LENGTH = _MAX_TEXT_BYTES // 2  # of printable ASCII, where an escape takes two bytes
_CUT_MARK = "..."
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who asks: what they showed, and their connection."""

    caller: Caller
    client: Client


@dataclass(frozen=True, slots=True)
class Asked:
    """Which version of a model was meant; the digests of what was loaded, where they are known."""

    model: str
    version: str | None = None
    sha256: str | None = None
    external_data_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One decision. `status` is HTTP's, or gRPC's name; None within a stream. `reason` is why not."""

    unix_ns: int
    protocol: str
    method: str | None
    route: str
    entrant: Entrant
    request_id: str | None
    reason: str | None = None
    status: int | str | None = None
    asked: Asked | None = None


def render(line: Line) -> bytes:
    """Write a line as JSON; what is not known is left out."""
    caller, client, asked = line.entrant.caller, line.entrant.client, line.asked
    fields: dict[str, object] = {
        "time": _time(line.unix_ns),
        "audit": "allowed" if line.reason is None else "denied",
        "reason": line.reason,
        "protocol": line.protocol,
        "method": line.method,
        "route": line.route,
        "model": asked.model if asked else None,
        "version": asked.version if asked else None,
        "sha256": asked.sha256 if asked else None,
        "external_data_sha256": asked.external_data_sha256 if asked else None,
        "status": line.status,
        "api_key": caller.api_key,
        "token_subject": caller.token_subject,
        "certificate_subject": client.certificate,
        "address": client.address,
        "request_id": line.request_id,
    }
    return _encode({name: _bounded(value) for name, value in fields.items() if value is not None})


def render_unlisted(unix_ns: int, count: int) -> bytes:
    """The line that stands for refusals that came faster than they could be written."""
    return _encode({"time": _time(unix_ns), "audit": "denied", "unlisted": count})


def _time(unix_ns: int) -> str:
    seconds, rest_ns = divmod(unix_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest_ns // 1_000_000:03}+00:00"


@lru_cache(maxsize=4)
def _second(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _bounded(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) <= _SURELY_FITTING_LENGTH and value.isascii() and value.isprintable():
        return value
    if len(_escape(value)) <= _MAX_TEXT_BYTES:
        return value
    return _cut(value)


def _cut(text: str) -> str:
    """Its beginning, and a hash that tells it from others that begin so."""
    end = size_bytes = 0
    while (size_bytes := size_bytes + len(_escape(text[end]))) <= _MAX_TEXT_BYTES:
        end += 1
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:end]}{_CUT_MARK}{digest[:_HASH_DIGITS]}"


def _escape(text: str) -> str:
    return json.dumps(text)[1:-1].replace("\x7f", "\\u007f")


def _encode(fields: Mapping[str, object]) -> bytes:
    """As in all logs nothing but printable ASCII: no client's words can forge a line."""
    try:
        written = orjson.dumps(fields)
    except orjson.JSONEncodeError:  # half of a surrogate pair
        written = b"\x7f"
    if written.isascii() and b"\x7f" not in written:
        return written + b"\n"
    return b"%b\n" % json.dumps(fields).replace("\x7f", "\\u007f").encode("ascii")
