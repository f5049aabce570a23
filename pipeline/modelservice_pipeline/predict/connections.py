"""HTTP/1.1 connections to one server, kept and used again; nothing of a protocol above HTTP.

By the standard library alone: the same code runs on a user's machine and in a pod.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from urllib.parse import SplitResult

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.errors import ModelAwayError
from modelservice_pipeline.predict.tls_files import TlsFiles


@dataclass(frozen=True)
class Answer:
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: bytes


class NoAnswerError(Exception):
    """The server could not be reached, or closed the connection; another try may help."""


class TooSlowError(Exception):
    """The server took longer than it was given."""


class Connections:
    """Connections to the server of a URL; any thread may ask, each has one of its own meanwhile."""

    def __init__(self, url: SplitResult, tls: TlsFiles) -> None:
        self._idle: list[http.client.HTTPConnection] = []
        self._host, self._port = url.hostname or "", url.port
        self._context = make_context(tls) if url.scheme == "https" else None

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, seconds: float
    ) -> Answer:
        """Send a request and read the answer. Raises NoAnswerError, TooSlowError, ModelAwayError.

        A kept connection that the server has closed is replaced by a new one, at once.
        """
        while self._idle:
            try:
                return self._ask(self._idle.pop(), method, path, headers, body, seconds)
            except IndexError:  # another thread took the last one
                break
            except NoAnswerError:
                continue
        return self._ask(self._make(), method, path, headers, body, seconds)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        self.close()

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        seconds: float,
    ) -> Answer:
        with self._told(connection):
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        self._idle.append(connection)
        return answer

    @contextmanager
    def _told(self, connection: http.client.HTTPConnection) -> Iterator[None]:
        """Turn what the system says into our errors; the connection is gone after any."""
        try:
            yield
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise TooSlowError from None
            if isinstance(error, (ssl.SSLCertVerificationError, socket.gaierror)):
                raise ModelAwayError(self._say_wrong(error)) from None
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise NoAnswerError(_innermost(error)) from None
            raise

    def _say_wrong(self, error: ssl.SSLCertVerificationError | socket.gaierror) -> str:
        if isinstance(error, socket.gaierror):
            return f"the host {self._host!r} has no address ({error.strerror}): check the URL"
        return (
            f"the certificate of {self._host!r} is not trusted ({error.verify_message}): "
            "name the file of its authority with --ca-file"
        )

    def _make(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port)
        return http.client.HTTPSConnection(self._host, self._port, context=self._context)


def make_context(tls: TlsFiles) -> ssl.SSLContext:
    """Return what a client's connections are made with. Raises PipelineError."""
    context = _make_trusting(tls)
    if not tls.verifies:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls.certificate is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_refuse_password)
        except (OSError, ssl.SSLError) as error:
            raise PipelineError(
                f"cannot use the client certificate {tls.certificate} with its key: {_innermost(error)}"
            ) from None
    return context


def _make_trusting(tls: TlsFiles) -> ssl.SSLContext:
    file = tls.ca or tls.server
    try:
        context = ssl.create_default_context(cafile=file)
        if tls.server is not None:
            file = tls.server
            context.load_verify_locations(cafile=file)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer need not be known
    except (OSError, ssl.SSLError) as error:
        raise PipelineError(f"cannot read the authorities in {file}: {_innermost(error)}") from None
    return context


def _refuse_password() -> str:
    raise PipelineError("the client's key is encrypted: give one without a passphrase")


def _innermost(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split()) or type(error).__name__
