"""Who the operator is to the API server: address, TLS and token, from a pod or a kubeconfig file.

Tokens of a pod expire within the hour and are replaced on disk; they are read again before that and at
once after a 401. The `kubernetes` package (30 MiB) is imported only where there is a kubeconfig to read.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelservice_operator.facts.errors import OperatorError

if TYPE_CHECKING:
    from modelservice_operator.settings import CommonSettings

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_SECONDS = 60.0
"""The kubelet replaces a token at 80% of its life (an hour); a minute is far inside the rest."""


class TokenSource(Protocol):
    """Gives the value of the Authorization header."""

    def authorization(self) -> str | None:
        """The header's value, None where TLS alone authenticates."""

    def refresh(self) -> None:
        """The server said 401: do not give the same value again if there is a newer one."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Everything needed for a connection."""

    server: str
    """`https://host:port`, without a trailing slash."""
    ssl_context: ssl.SSLContext | None
    """None for plain HTTP."""
    tokens: TokenSource
    proxy: str | None = None


class FileToken:
    """A bearer token in a file that is replaced from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = ""
        self._read_at: float | None = None

    def authorization(self) -> str | None:
        """The token, at most a minute old."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > TOKEN_REREAD_SECONDS:
            self._value = self._path.read_text(encoding="ascii").strip()
            self._read_at = now
        return f"Bearer {self._value}"

    def refresh(self) -> None:
        """Read the file again for the next request."""
        self._read_at = None


class KubeconfigToken:
    """What a kubeconfig's user has: a token, an exec plug-in's token, a password, or nothing."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration

    def authorization(self) -> str | None:
        """Ask the `kubernetes` package, which renews expired tokens by itself."""
        header = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if header is None and self._configuration.username:
            header = self._configuration.get_basic_auth_token()
        return str(header) if header else None

    def refresh(self) -> None:
        """Nothing to drop: the package checks the expiry on every call."""


def pod_credentials(server: str, directory: Path = SERVICE_ACCOUNT_DIR) -> Credentials:
    """Credentials of the pod's service account."""
    token = directory / "token"
    if not token.exists():
        raise OperatorError(
            f"No service account token at {token}: set automountServiceAccountToken, or use --kubeconfig."
        )
    return Credentials(
        server=server,
        ssl_context=ssl.create_default_context(cafile=str(directory / "ca.crt")),
        tokens=FileToken(token),
    )


def kubeconfig_credentials(path: str, context: str | None) -> Credentials:
    """Credentials of a kubeconfig file; an empty path means kubectl's default."""
    try:
        from kubernetes.client import Configuration  # heavy, and not needed in a pod
        from kubernetes.config import ConfigException, load_kube_config
    except ImportError as error:
        raise OperatorError(
            "Reading a kubeconfig needs the Python package `kubernetes`: pip install kubernetes."
        ) from error
    configuration = Configuration()
    try:
        load_kube_config(  # type: ignore[no-untyped-call]
            config_file=path or None,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (ConfigException, OSError) as error:
        raise OperatorError(f"Cannot read the kubeconfig {path or '(default)'}: {error}") from error
    server = str(configuration.host).rstrip("/")
    return Credentials(
        server=server,
        ssl_context=_ssl_context(configuration) if server.startswith("https:") else None,
        tokens=KubeconfigToken(configuration),
        proxy=configuration.proxy,
    )


def _ssl_context(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def load_credentials(settings: CommonSettings) -> Credentials:
    """The credentials that `settings` ask for; OperatorError where there are none."""
    if settings.cluster_url is not None:
        return pod_credentials(settings.cluster_url)
    return kubeconfig_credentials(settings.kubeconfig, settings.context)
