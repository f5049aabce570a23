"""What `serve` can be told about the access log; values and their flags."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.argument_types import parse_bytes, parse_rate

if TYPE_CHECKING:
    from jsonpath import JSONPath

_MAX_PAYLOAD_BYTES = 64 * 1024
# Their patterns run on what clients send, and Python's can take any time for a short text.
_PATTERNS = ("match", "search")


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """`rate` is the share of requests that have a line, from 0 to 1.

    Bodies of up to `payload_bytes` are in it, none for 0, without what the JSONPaths `masks` find.
    """

    rate: float = 0.0
    payload_bytes: int = 0
    masks: tuple[str, ...] = ()


def add_access_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("access log")
    group.add_argument(
        "--access-log",
        type=parse_rate,
        default=0.0,
        metavar="off|all|RATE",
        help="log a line for each request, or for a share of them such as 0.01; by itself never what was "
        "sent (default: off)",
    )
    group.add_argument(
        "--access-log-payloads",
        type=_parse_payload_bytes,
        default=0,
        metavar="BYTES",
        help="have JSON bodies of requests and answers in these lines, up to this size each, at most 64Ki "
        "(default: 0, none)",
    )
    group.add_argument(
        "--access-log-mask",
        action="append",
        default=[],
        metavar="JSONPATH",
        help="show *** in their place, such as '$.inputs[*].data'; RFC 9535; may be given several times",
    )


def build_access_log_settings(arguments: argparse.Namespace) -> AccessLogSettings:
    """Settings from parsed flags. Raises InvalidSettingsError."""
    settings = AccessLogSettings(
        arguments.access_log, arguments.access_log_payloads, tuple(arguments.access_log_mask)
    )
    if settings.payload_bytes and not settings.rate:
        raise InvalidSettingsError(
            "--access-log-payloads: there is no access log; add --access-log all or a share"
        )
    if settings.masks and not settings.payload_bytes:
        raise InvalidSettingsError("--access-log-mask: no payload is logged; add --access-log-payloads 4Ki")
    for mask in settings.masks:
        compile_mask(mask)
    return settings


def compile_mask(text: str) -> "JSONPath":
    """The JSONPath (RFC 9535) of `text`. Raises InvalidSettingsError."""
    # Imported here: most servers mask nothing.
    from jsonpath import JSONPathEnvironment, JSONPathError

    environment = JSONPathEnvironment(strict=True)
    for name in _PATTERNS:
        del environment.function_extensions[name]
    try:
        path = environment.compile(text)
    except JSONPathError as error:
        raise InvalidSettingsError(
            f"--access-log-mask {text!r} is not a JSONPath as RFC 9535 has them, such as '$.inputs[*].data', "
            f"without match() and search(): {error.args[0]}"
        ) from error
    return path  # type: ignore[return-value]  # `|`, which makes a compound of several, is not in the RFC


def _parse_payload_bytes(text: str) -> int:
    value = parse_bytes(text)
    if value > _MAX_PAYLOAD_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 64Ki")
    return value
