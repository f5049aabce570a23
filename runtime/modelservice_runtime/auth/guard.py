"""The one check in front of every protocol's dispatch.

It wraps a whole front end, so a route that is added later is guarded without doing anything. Only
`open_paths` stay open, by exact name.
"""

from collections.abc import Mapping

from modelservice_runtime.auth.authenticator import Authenticator
from modelservice_runtime.auth.caller import NOBODY, Caller
from modelservice_runtime.errors import ServingError, UnauthenticatedError
from modelservice_runtime.protocols.open_paths import OPEN_GRPC_PATHS, is_open_target
from modelservice_runtime.protocols.refusals import refuse
from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.http import HttpApplication, HttpRequest
from modelservice_runtime.transport.http1.port import Admission
from modelservice_runtime.transport.status import grpc_error

_AUTHORIZATION, _API_KEY = b"authorization", b"x-api-key"


class Guard:
    """Every configured check must pass: the client's certificate, and its key or token."""

    def __init__(self, authenticator: Authenticator | None, *, needs_client_certificate: bool) -> None:
        self._authenticator = authenticator
        self._needs_client_certificate = needs_client_certificate

    def check(self, headers: Mapping[bytes, bytes], client: Client) -> Caller:
        """Return who asks. Raises UnauthenticatedError or PermissionDeniedError."""
        if self._needs_client_certificate and client.certificate is None:
            raise UnauthenticatedError("this server needs a client certificate")
        if self._authenticator is None:
            return NOBODY
        return self._authenticator.check(headers.get(_AUTHORIZATION), headers.get(_API_KEY))


class HttpAdmission:
    """The guard in front of every HTTP request, which a connection asks before it holds a body."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, target: bytes, headers: Mapping[bytes, bytes], client: Client) -> Caller:
        """Return who asks. Raises UnauthenticatedError or PermissionDeniedError."""
        return NOBODY if is_open_target(target) else self._guard.check(headers, client)


class GuardedApplication:
    """An HTTP application behind a guard."""

    def __init__(self, application: HttpApplication, admit: Admission) -> None:
        self._application = application
        self._admit = admit

    def __call__(self, request: HttpRequest) -> None:
        """Hand the request on, or answer 401 or 403."""
        try:
            caller = self._admit(request.target, request.headers, request.source.client)
        except ServingError as error:
            refuse(request, error)
        else:
            request.caller = caller
            self._application(request)


class GrpcAdmission:
    """The guard in front of every gRPC call; see `Admission` of the transport."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def __call__(self, path: str, metadata: Mapping[bytes, bytes], client: Client) -> Caller:
        """Return who calls. Raises GrpcError, UNAUTHENTICATED or PERMISSION_DENIED."""
        if path in OPEN_GRPC_PATHS:
            return NOBODY
        try:
            return self._guard.check(metadata, client)
        except ServingError as error:
            raise grpc_error(error) from error
