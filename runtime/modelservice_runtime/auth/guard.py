"""The one check in front of every protocol's dispatch.

It wraps a whole front end, so a route that is added later is guarded without doing anything. Only
`open_paths` stay open, by exact name.
"""

from collections.abc import Mapping

from modelservice_runtime.auth.authenticator import Authenticator
from modelservice_runtime.errors import ServingError, UnauthenticatedError
from modelservice_runtime.protocols.open_paths import OPEN_GRPC_PATHS, is_open_target
from modelservice_runtime.transport.http import HttpApplication, HttpRequest
from modelservice_runtime.transport.status import error_response, grpc_error


class Guard:
    """Every configured check must pass: the client's certificate, and its key or token."""

    def __init__(self, authenticator: Authenticator | None, *, needs_client_certificate: bool) -> None:
        self._authenticator = authenticator
        self._needs_client_certificate = needs_client_certificate

    def check(
        self, authorization: bytes | None, api_key: bytes | None, *, has_client_certificate: bool
    ) -> None:
        """Raise UnauthenticatedError or PermissionDeniedError unless the request may go on."""
        if self._needs_client_certificate and not has_client_certificate:
            raise UnauthenticatedError("this server needs a client certificate")
        if self._authenticator is not None:
            self._authenticator.check(authorization, api_key)


class HttpAdmission:
    """The guard in front of every HTTP request, which a connection may ask before it reads a large body."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(
        self, target: bytes, headers: Mapping[bytes, bytes], *, has_client_certificate: bool
    ) -> None:
        """Raise UnauthenticatedError or PermissionDeniedError unless the request may go on."""
        if not is_open_target(target):
            self._guard.check(
                headers.get(b"authorization"),
                headers.get(b"x-api-key"),
                has_client_certificate=has_client_certificate,
            )


class GuardedApplication:
    """An HTTP application behind a guard."""

    def __init__(self, application: HttpApplication, admit: HttpAdmission) -> None:
        self._application = application
        self._admit = admit

    def __call__(self, request: HttpRequest) -> None:
        """Hand the request on, or answer 401 or 403."""
        certified = request.source.has_client_certificate
        try:
            self._admit(request.target, request.headers, has_client_certificate=certified)
        except ServingError as error:
            request.reply(error_response(error))
        else:
            self._application(request)


class GrpcAdmission:
    """The guard in front of every gRPC call; see `Admission`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, path: str, metadata: Mapping[bytes, bytes], *, has_client_certificate: bool) -> None:
        """Raise GrpcError, UNAUTHENTICATED or PERMISSION_DENIED, unless the call may go on."""
        if path in OPEN_GRPC_PATHS:
            return
        try:
            self._guard.check(
                metadata.get(b"authorization"),
                metadata.get(b"x-api-key"),
                has_client_certificate=has_client_certificate,
            )
        except ServingError as error:
            raise grpc_error(error) from error
