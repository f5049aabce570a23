"""What stands in front of a model, in CPU time of a request: keys, and the logs of who asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.cases import TINY, Case, Settings
from benchmarks.http_requests import http_request, json_document
from benchmarks.load import Stream, measure
from benchmarks.servers import modelservice
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key

_ROUNDS = 5
_CONNECTIONS = 4
"""Few enough that a request is not answered together with many others."""


def entrance(settings: Settings) -> Case:
    """The same request to the same model behind each of them, in turn; the figure is CPU."""
    case = Case("tiny MLP, REST JSON, 4 connections, by what stands in front")
    key, body = new_api_key(), json_document(TINY)
    open_to_all = http_request("/v2/models/tiny/infer", body, "Content-Type: application/json\r\n")
    with_key = http_request(
        "/v2/models/tiny/infer", body, f"Content-Type: application/json\r\nX-Api-Key: {key}\r\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "keys"
        file.write_text(api_key_line("client", key), encoding="utf-8")
        keys = ("--api-key-file", str(file))
        rows: dict[str, tuple[tuple[str, ...], bytes]] = {
            "nothing": ((), open_to_all),
            "API keys": (keys, with_key),
            "audit log of refusals": (("--audit-log", "denied"), open_to_all),
            "audit log of all": (("--audit-log", "all"), open_to_all),
            "API keys, audit log of all": ((*keys, "--audit-log", "all"), with_key),
            "access log of all": (("--access-log", "all"), open_to_all),
        }
        for _ in range(_ROUNDS):
            for name, (flags, request) in rows.items():
                with modelservice({"tiny": settings.models["tiny"]}, *flags) as target:
                    stream = Stream(request, _CONNECTIONS)
                    (measured,) = measure(target, stream, seconds=settings.seconds / _ROUNDS)
                    # CPU is what is compared: the round that others disturbed least counts.
                    known = case.rows.get(name)
                    if known is None or measured.cpu_us < known.cpu_us:
                        case.rows[name] = measured
    return case
