from pathlib import Path

import pytest

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.security_settings import JwtSettings, SecuritySettings, TlsSettings
from modelservice_runtime.settings import parse_serve_arguments

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
        JwtSettings(Path("jwks"), "i", "a", "s"),
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
        ("--tls-cert=c", "--tls-key"),
        ("--tls-key=k", "--tls-cert"),
        ("--tls-client-ca=a", "--tls-cert"),
    ],
)
def test_parse_of_half_a_configuration_is_refused(flags: str, part: str) -> None:
    with pytest.raises(InvalidSettingsError, match=part):
        parse_serve_arguments([*MODEL, *flags.split()])
