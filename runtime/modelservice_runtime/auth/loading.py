"""From settings to a guard whose keys follow their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.auth.api_keys import parse_api_keys
from modelservice_runtime.auth.authenticator import Authenticator
from modelservice_runtime.auth.guard import (
    GrpcAdmission,
    Guard,
    GuardedApplication,
    HttpAdmission,
)
from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.machine.file_watch import NothingAcceptedError, WatchedFiles, read_settings_file
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings
from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication


@dataclass(frozen=True, slots=True)
class LoadedGuard:
    """The guard (None: everybody may ask), and the files it was made from."""

    guard: Guard | None
    files: tuple[WatchedFiles, ...]

    def protect(self, application: HttpApplication) -> HttpApplication:
        """Put the guard in front of an HTTP front end."""
        admit = self.http_admission
        return application if admit is None else GuardedApplication(application, admit)

    def watch(self, services: Mapping[str, Service]) -> Mapping[str, Service]:
        """Leave gRPC services as they are: their calls are checked before they get there."""
        return services

    @property
    def http_admission(self) -> HttpAdmission | None:
        """The guard for HTTP requests of which only the head has come."""
        return None if self.guard is None else HttpAdmission(self.guard)

    @property
    def admission(self) -> GrpcAdmission | None:
        """The guard for gRPC calls."""
        return None if self.guard is None else GrpcAdmission(self.guard)


def load_guard(settings: SecuritySettings) -> LoadedGuard:
    """Read the files of `settings`. Raises InvalidSettingsError."""
    needs_certificate = settings.tls is not None and settings.tls.client_ca is not None
    files: list[WatchedFiles] = []
    authenticator = None
    if settings.api_key_file is not None or settings.jwt is not None:
        authenticator = Authenticator()
        if settings.api_key_file is not None:
            files.append(_watch_api_keys(settings.api_key_file, authenticator))
        if settings.jwt is not None:
            files.append(_watch_tokens(settings.jwt, authenticator))
    if authenticator is None and not needs_certificate:
        return LoadedGuard(None, ())
    return LoadedGuard(Guard(authenticator, needs_client_certificate=needs_certificate), tuple(files))


def _watch_api_keys(path: Path, authenticator: Authenticator) -> WatchedFiles:
    """Follow the file. Without a key in it a server does not start; one that runs lets nobody in by a key."""

    def load() -> None:
        try:
            text = read_settings_file(path, "--api-key-file").decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidSettingsError("--api-key-file: the file is not UTF-8 text") from None
        try:
            keys = parse_api_keys(text)
        except InvalidSettingsError as error:
            raise InvalidSettingsError(f"--api-key-file: {error.sentence}") from None
        authenticator.use_api_keys(keys)
        if not keys.digests:
            raise NothingAcceptedError(
                "--api-key-file holds no key; make one with 'modelservice api-key new NAME'"
            )

    return WatchedFiles("api-keys", (path,), load)


def _watch_tokens(settings: JwtSettings, authenticator: Authenticator) -> WatchedFiles:
    # Imported here: it takes memory that a server without tokens can save.
    from modelservice_runtime.auth.tokens import ALGORITHMS, TokenVerifier, parse_jwks

    def load() -> None:
        keys = parse_jwks(read_settings_file(settings.jwks_file, "--jwt-jwks-file"))
        authenticator.use_tokens(TokenVerifier(keys, settings))
        if not keys.keys:
            raise NothingAcceptedError(
                "--jwt-jwks-file holds no public key for signatures; accepted are "
                f"{', '.join(sorted(ALGORITHMS))}"
            )

    return WatchedFiles("jwks", (settings.jwks_file,), load)
