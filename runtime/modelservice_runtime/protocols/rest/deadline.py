"""How long a client will wait, as HTTP headers say; pure.

`X-Request-Timeout` holds seconds. Envoy, and with it Istio and most gateways, tells a backend the time that
it will wait itself, in milliseconds. OIP's parameter `timeout` and gRPC's deadline are read elsewhere.
"""

from collections.abc import Mapping

from modelservice_runtime.errors import InvalidRequestError

_SECONDS_BY_HEADER = {b"x-request-timeout": 1.0, b"x-envoy-expected-rq-timeout-ms": 1e-3}
_MAX_SECONDS = 1e9


def header_timeout_seconds(headers: Mapping[bytes, bytes]) -> float | None:
    """The shortest time the headers allow; None without any, or where 0 stands for none.

    Raises InvalidRequestError.
    """
    timeouts = [
        _parse(name, headers[name]) * unit for name, unit in _SECONDS_BY_HEADER.items() if name in headers
    ]
    return min((seconds for seconds in timeouts if seconds > 0), default=None)


def shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two times, where None is no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _parse(name: bytes, value: bytes) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MAX_SECONDS:
        raise InvalidRequestError(
            f"header {name.decode('ascii')!r} is {value[:40].decode('latin-1')!r}; "
            "it must be a time of at least 0, as a decimal number"
        )
    return number
