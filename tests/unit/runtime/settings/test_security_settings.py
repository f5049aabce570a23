import asyncio
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.serving.ports import Applications, open_ports
from modelservice_runtime.settings.connections import ConnectionSettings
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings, TlsSettings
from modelservice_runtime.settings.serve import parse_serve_arguments
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.http import HttpLimits
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.tls import load_tls

MODEL = ["--model", "m=m.onnx"]


def test_parse_without_flags_leaves_everything_off() -> None:
    assert parse_serve_arguments(MODEL).security == SecuritySettings(None, None, None)


def test_parse_of_all_flags() -> None:
    flags = (
        "--api-key-file=keys --jwt-jwks-file=jwks --jwt-issuer=i --jwt-audience=a --jwt-scope=s "
        "--tls-cert=cert --tls-key=key --tls-client-ca=ca"
    )
    assert parse_serve_arguments([*MODEL, *flags.split()]).security == SecuritySettings(
        Path("keys"),
        JwtSettings(Path("jwks"), "i", "a", ("s",)),
        TlsSettings(Path("cert"), Path("key"), Path("ca")),
    )


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ("--jwt-jwks-file=f", "--jwt-issuer"),
        ("--jwt-jwks-file=f --jwt-issuer=i", "--jwt-audience"),
        ("--jwt-issuer=i --jwt-audience=a", "--jwt-jwks-file"),
        ("--jwt-jwks-file=f --jwt-issuer= --jwt-audience=a", "need all"),
        ("--jwt-scope=s", "need all"),
        ("--jwt-jwks-file=f --jwt-issuer=i --jwt-audience=a --jwt-scope=", "--jwt-scope is blank"),
        ("--tls-cert=c", "--tls-key"),
        ("--tls-key=k", "--tls-cert"),
        ("--tls-client-ca=a", "--tls-cert"),
    ],
)
def test_parse_of_half_a_configuration_is_refused(flags: str, part: str) -> None:
    with pytest.raises(InvalidSettingsError, match=part):
        parse_serve_arguments([*MODEL, *flags.split()])


def test_scopes_are_separated_by_spaces() -> None:
    flags = ["--jwt-jwks-file=f", "--jwt-issuer=i", "--jwt-audience=a", "--jwt-scope", "read  infer"]
    jwt = parse_serve_arguments([*MODEL, *flags]).security.jwt
    assert jwt is not None
    assert jwt.scopes == ("read", "infer")


def test_parse_of_connection_limits() -> None:
    flags = ["--max-connections=10", "--min-body-bytes-per-second=100", "--head-timeout-seconds=1"]
    flags += ["--body-grace-seconds=2", "--write-stall-seconds=3", "--idle-timeout-seconds=4"]
    flags += ["--max-connection-age-seconds=5", "--max-connection-age-grace-seconds=6"]
    parsed = parse_serve_arguments([*MODEL, *flags]).connections
    assert parsed == ConnectionSettings(10, 1, 2, 100, 3, 4, 5, 6)


async def test_connection_limits_reach_the_ports() -> None:
    settings = replace(
        parse_serve_arguments([*MODEL, "--host=127.0.0.1", "--http-port=0", "--grpc-port=0"]),
        connections=ConnectionSettings(7, 1, 2, 100, 3, 4, 5, 6),
    )
    loop = asyncio.get_running_loop()
    applications = Applications(lambda _request: None, None, {}, OpenStreams(), None)
    ports = await open_ports(settings, applications, load_tls(None), loop)
    try:
        assert ports.grpc is not None
        for limits in (ports.rest.limits, ports.grpc.limits):
            assert (limits.max_connections, limits.min_body_bytes_per_second) == (7, 100)
            assert (limits.head_timeout_seconds, limits.body_grace_seconds) == (1, 2)
            assert (limits.write_stall_seconds, limits.idle_timeout_seconds) == (3, 4)
            assert limits.max_connection_age_seconds == 5
            assert limits.max_connection_age_grace_seconds == 6
        ports.rest.buffered_bytes = 5  # what REST clients send leaves less room for gRPC
        assert ports.grpc.buffered_bytes == 5
        ports.grpc.buffered_bytes -= 5
        assert ports.rest.buffered_bytes == 0
    finally:
        await ports.drain(1)


def test_settings_have_the_defaults_of_the_ports() -> None:
    defaults = asdict(ConnectionSettings())
    assert {name: getattr(HttpLimits(), name) for name in defaults} == defaults
    assert {name: getattr(Http2Limits(), name) for name in defaults} == defaults
