"""TLS contexts from PEM files, and again when the files change.

A new context holds for handshakes from then on; connections keep the one they began with. Client
certificates are asked for, but their absence is judged by the guard and not by the handshake, because the
kubelet's probes have none.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.machine.file_watch import WatchedFiles, read_settings_file
from modelservice_runtime.settings.security import TlsSettings

HTTP_1_1 = "http/1.1"
HTTP_2 = "h2"
_ENCRYPTED = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class TlsContext:
    """The context for new handshakes; the first of the protocols that a client knows too is spoken.

    See ALPN, RFC 7301.
    """

    def __init__(self, settings: TlsSettings, *application_protocols: str) -> None:
        self._settings = settings
        self._application_protocols = application_protocols
        self.current = build_context(settings, *application_protocols)

    def reload(self) -> None:
        """Read the files again. Raises InvalidSettingsError; the old context stays then."""
        self.current = build_context(self._settings, *self._application_protocols)


@dataclass(frozen=True, slots=True)
class LoadedTls:
    """A context for each kind of port (None: plain text), and the files they follow."""

    http: TlsContext | None
    grpc: TlsContext | None
    files: tuple[WatchedFiles, ...]


def load_tls(settings: TlsSettings | None) -> LoadedTls:
    """Read the files of `settings`. Raises InvalidSettingsError."""
    if settings is None:
        return LoadedTls(None, None, ())
    http, grpc = TlsContext(settings, HTTP_2, HTTP_1_1), TlsContext(settings, HTTP_2)
    paths = [settings.certificate, settings.key]
    if settings.client_ca is not None:
        paths.append(settings.client_ca)

    def reload() -> None:
        http.reload()
        grpc.reload()

    return LoadedTls(http, grpc, (WatchedFiles("tls", paths, reload),))


def build_context(settings: TlsSettings, *application_protocols: str) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer. Raises InvalidSettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could make the server compute key exchanges without end.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(application_protocols)
    _load_key_pair(context, settings)
    if settings.client_ca is not None:
        _load_client_ca(context, settings.client_ca)
    return context


def _load_key_pair(context: ssl.SSLContext, settings: TlsSettings) -> None:
    read_settings_file(settings.certificate, "--tls-cert")
    key = read_settings_file(settings.key, "--tls-key")
    if any(mark in key for mark in _ENCRYPTED):
        # OpenSSL would ask for the passphrase on the terminal.
        raise InvalidSettingsError(
            "--tls-key: the key is encrypted; store it without a passphrase "
            "('openssl pkey -in KEY -out PLAIN')"
        )
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidSettingsError("--tls-key: the private key is not that of the certificate") from None
        raise InvalidSettingsError(
            f"--tls-cert: expected PEM with a certificate chain, and its private key ({_reason(error)})"
        ) from None
    except OSError as error:
        raise InvalidSettingsError(f"--tls-cert: cannot read it or its key ({error.strerror})") from None


def _load_client_ca(context: ssl.SSLContext, path: Path) -> None:
    read_settings_file(path, "--tls-client-ca")
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise InvalidSettingsError(
            f"--tls-client-ca must be a PEM file with certificates ({_reason(error)})"
        ) from None
    context.verify_mode = ssl.CERT_OPTIONAL


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "unreadable").replace("_", " ").lower()
