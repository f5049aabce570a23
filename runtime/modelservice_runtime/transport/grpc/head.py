"""What the head of a call says: method, deadline, encodings, or why it is refused; pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.grpc.wire import (
    ACCEPT_ENCODING_BLOCK,
    HEAD_BLOCK,
    SUPPORTED_ENCODINGS,
    build_head_block,
    build_http_error_block,
    build_trailers_block,
    is_grpc_content_type,
    parse_timeout,
)
from modelservice_runtime.transport.http2.headers.fields import split_fields
from modelservice_runtime.transport.http2.headers.hpack import Header
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

_MAX_SHOWN_PATH = 100
_MAX_LENGTH_DIGITS = 18
# A health check names a service, and nothing else.
_MAX_OPEN_MESSAGE_BYTES = 1024
_TIMEOUT = b"grpc-timeout"
# Clients that put something new into every head fill this; it is emptied then.
_MAX_KNOWN_HEADS = 512
_MAX_KNOWN_HEAD_BYTES = 2048


@dataclass(slots=True)
class CallHead:
    """The same for all calls with equal headers; never modified.

    `encoding` is that of the client's messages; `answer_encoding` that of ours: the client's own, if it
    chose one and accepts it. `max_message_bytes`, if set, is less than the connection's limit. `refusal`
    is the header block that answers the call at once.
    """

    path: str
    metadata: Mapping[bytes, bytes]
    service: Service | None
    timeout_seconds: float | None
    encoding: bytes
    answer_encoding: bytes
    answer_block: bytes
    refusal: bytes | None = None
    content_length: int | None = None
    max_message_bytes: int | None = None


class HeadParser:
    """Parses the heads of calls to `services`, a function for each full method path.

    Messages to `open_paths` are small, for strangers send them. Heads are kept by their headers, without the
    timeout: that is what differs between the calls of a client.
    """

    def __init__(self, services: Mapping[str, Service], open_paths: Collection[str] = ()) -> None:
        self._services = services
        self._open_paths = open_paths
        self._known: dict[tuple[Header, ...], CallHead] = {}

    def parse(self, headers: list[Header] | None) -> CallHead:
        """The head of a call. None stands for headers over the limit.

        Raises StreamFailedError for what is no HTTP/2 request.
        """
        if headers is None:
            return _refused(_trailers_only(GrpcStatus.RESOURCE_EXHAUSTED, "the metadata is too large"))
        others = [header for header in headers if header[0] != _TIMEOUT]
        key = tuple(others)
        head = self._known.get(key)
        if head is None:
            head = self._parse(others)
            self._remember(key, head)
        if len(others) == len(headers) or head.service is None:
            return head
        return _with_timeout(head, next(value for name, value in headers if name == _TIMEOUT))

    def _parse(self, headers: list[Header]) -> CallHead:
        pseudo, fields = split_fields(headers)
        if pseudo[b":method"] != b"POST":
            return _refused(build_http_error_block(405))
        if not is_grpc_content_type(fields.get(b"content-type", b"")):
            return _refused(build_http_error_block(415))
        try:
            return self._accept(pseudo[b":path"].decode("latin-1"), fields)
        except GrpcError as error:
            block = _trailers_only(error.status, error.message)
            return _refused(block + ACCEPT_ENCODING_BLOCK if b"grpc-encoding" in fields else block)

    def _accept(self, path: str, fields: dict[bytes, bytes]) -> CallHead:
        service = self._services.get(path)
        if service is None:
            raise GrpcError(GrpcStatus.UNIMPLEMENTED, f"there is no method {path[:_MAX_SHOWN_PATH]!r}")
        encoding = _parse_encoding(fields)
        accepted = fields.get(b"grpc-accept-encoding", b"").replace(b" ", b"").split(b",")
        answer_encoding = encoding if encoding in accepted else b""
        return CallHead(
            path=path,
            metadata=MappingProxyType(fields),
            service=service,
            timeout_seconds=None,
            encoding=encoding,
            answer_encoding=answer_encoding,
            answer_block=build_head_block(answer_encoding),
            content_length=_parse_length(fields),
            max_message_bytes=_MAX_OPEN_MESSAGE_BYTES if path in self._open_paths else None,
        )

    def _remember(self, key: tuple[Header, ...], head: CallHead) -> None:
        if sum([len(name) + len(value) for name, value in key]) <= _MAX_KNOWN_HEAD_BYTES:
            if len(self._known) >= _MAX_KNOWN_HEADS:
                self._known.clear()
            self._known[key] = head


def _with_timeout(head: CallHead, value: bytes) -> CallHead:
    try:
        seconds = parse_timeout(value)
    except ValueError as error:
        return _refused(_trailers_only(GrpcStatus.INVALID_ARGUMENT, str(error)))
    return CallHead(
        head.path,
        head.metadata,
        head.service,
        seconds,
        head.encoding,
        head.answer_encoding,
        head.answer_block,
        content_length=head.content_length,
        max_message_bytes=head.max_message_bytes,
    )


def _parse_encoding(fields: dict[bytes, bytes]) -> bytes:
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding == b"identity":
        return b""
    if encoding not in SUPPORTED_ENCODINGS:
        raise GrpcError(
            GrpcStatus.UNIMPLEMENTED,
            f"grpc-encoding {encoding[:40].decode('latin-1')!r} is unknown; use gzip, deflate or identity",
        )
    return encoding


def _parse_length(fields: dict[bytes, bytes]) -> int | None:
    value = fields.get(b"content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise GrpcError(GrpcStatus.INVALID_ARGUMENT, "content-length must be a number of bytes")
    return int(value)


def _refused(block: bytes) -> CallHead:
    return CallHead("", MappingProxyType({}), None, None, b"", b"", HEAD_BLOCK, block)


def _trailers_only(status: GrpcStatus, message: str) -> bytes:
    return HEAD_BLOCK + build_trailers_block(status, message)


# Of any call for which there is no place.
TOO_MANY_CONNECTIONS = _refused(_trailers_only(GrpcStatus.UNAVAILABLE, "too many connections"))
