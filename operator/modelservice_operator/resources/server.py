"""What `spec.server` and `spec.env` become in a pod: the server's arguments, and variables. Pure.

Only what is set becomes an argument: a new revision may run on an image that is older than this operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.api.quantity import parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.api import EnvVar, ModelServiceSpec, ServerSpec


def server_args(server: ServerSpec | None) -> list[str]:
    """Return the server's arguments; none where nothing is set."""
    if server is None:
        return []
    max_bytes = server.max_request_bytes
    age_seconds = server.max_connection_age_seconds
    wanted = {
        "--max-request-bytes": None if max_bytes is None else int(parse_quantity(max_bytes)),
        "--idle-timeout-seconds": server.idle_timeout_seconds,
        "--max-connection-age-seconds": "off" if age_seconds == 0 else age_seconds,
        "--workers": server.workers,
        "--access-log": server.access_log,
    }
    return [text for flag, value in wanted.items() if value is not None for text in (flag, str(value))]


def environment(spec: ModelServiceSpec, *, for_fetcher: bool) -> dict[str, Any]:
    """Return `env` of the server's or the fetcher's container; nothing where it has no variable."""
    variables = [_variable(one) for one in spec.env if one.is_for_fetcher == for_fetcher]
    return {"env": variables} if variables else {}


def _variable(wanted: EnvVar) -> dict[str, Any]:
    if wanted.secret_name is None:
        return {"name": wanted.name, "value": wanted.value}
    # The key is the variable's own name: no Secret that was made for something else can be read.
    reference = {"name": wanted.secret_name, "key": wanted.name}
    return {"name": wanted.name, "valueFrom": {"secretKeyRef": reference}}
