"""What `serve` can be told about keys, tokens and TLS; values and their flags."""

import argparse
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError


class AuditMode(StrEnum):
    """Of which requests there is a line in the audit log."""

    ALL = "all"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """Which JSON Web Tokens are accepted; they need every one of `scopes`."""

    jwks_file: Path
    issuer: str
    audience: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files of the server: its certificate chain, its key, and whose client certificates it accepts."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Everything is off unless configured."""

    api_key_file: Path | None = None
    jwt: JwtSettings | None = None
    tls: TlsSettings | None = None
    audit_log: AuditMode | None = None


def add_security_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group(
        "security", "All files are read again when they change; without these flags everybody may ask."
    )
    _add_auth_arguments(group)
    _add_tls_arguments(group)
    group.add_argument(
        "--audit-log",
        choices=("off", *AuditMode),
        default="off",
        help="a line on standard output for each request, or for those that are refused: who asked for which "
        "model; never what was sent (default: %(default)s)",
    )


def _add_auth_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="keys that clients must send, one NAME:sha256:HEX a line; 'modelservice api-key new' makes one",
    )
    group.add_argument(
        "--jwt-jwks-file",
        type=Path,
        metavar="FILE",
        help="accept JSON Web Tokens signed with a key of this set",
    )
    group.add_argument("--jwt-issuer", metavar="URL", help="the tokens' issuer (iss)")
    group.add_argument("--jwt-audience", metavar="NAME", help="this service's name in tokens (aud)")
    group.add_argument(
        "--jwt-scope",
        metavar="SCOPES",
        help="scopes that tokens must carry, all of them, with spaces between (default: none)",
    )


def _add_tls_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="PEM file with the server's certificate chain; turns TLS on",
    )
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM file with its key, not encrypted")
    group.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="PEM file with the authorities whose client certificates are accepted; clients then need one",
    )


def build_security_settings(arguments: argparse.Namespace) -> SecuritySettings:
    """Settings from parsed flags. Raises InvalidSettingsError for incomplete combinations."""
    audit_log = None if arguments.audit_log == "off" else AuditMode(arguments.audit_log)
    return SecuritySettings(
        arguments.api_key_file, _build_jwt(arguments), _build_tls(arguments), audit_log=audit_log
    )


def _build_jwt(arguments: argparse.Namespace) -> JwtSettings | None:
    needed = (arguments.jwt_jwks_file, arguments.jwt_issuer, arguments.jwt_audience)
    if all(value is None for value in (*needed, arguments.jwt_scope)):
        return None
    if not all(needed):
        raise InvalidSettingsError(
            "JSON Web Tokens need all of --jwt-jwks-file, --jwt-issuer and --jwt-audience"
        )
    return JwtSettings(*needed, scopes=_parse_scopes(arguments.jwt_scope))


def _parse_scopes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    scopes = tuple(text.split())
    if not scopes:
        raise InvalidSettingsError("--jwt-scope is blank: name a scope, or leave it out")
    return scopes


def _build_tls(arguments: argparse.Namespace) -> TlsSettings | None:
    certificate, key, client_ca = arguments.tls_cert, arguments.tls_key, arguments.tls_client_ca
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise InvalidSettingsError("TLS needs both --tls-cert and --tls-key")
    return TlsSettings(certificate, key, client_ca)
