"""What the head of a call says: method, deadline, encodings, or why it is refused; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelservice_runtime.server.grpc.stream import GrpcError, GrpcStatus, Service
from modelservice_runtime.server.grpc.wire import (
    ACCEPT_ENCODING_BLOCK,
    HEAD_BLOCK,
    SUPPORTED_ENCODINGS,
    build_head_block,
    build_http_error_block,
    build_trailers_block,
    is_grpc_content_type,
    parse_timeout,
)
from modelservice_runtime.server.http2.fields import split_fields
from modelservice_runtime.server.http2.hpack import Header

_MAX_SHOWN_PATH = 100


@dataclass(frozen=True, slots=True)
class CallHead:
    """The same for all calls with equal headers.

    ``encoding`` is that of the client's messages; ``answer_encoding`` that of ours: the client's own, if it
    chose one and accepts it. ``refusal`` is the header block that answers the call at once.
    """

    path: str
    metadata: Mapping[bytes, bytes]
    service: Service | None
    timeout_seconds: float | None
    encoding: bytes
    answer_encoding: bytes
    answer_block: bytes
    refusal: bytes | None


def parse_head(headers: list[Header] | None, services: Mapping[str, Service]) -> CallHead:
    """The head of a call. None stands for headers over the limit.

    Raises StreamFailedError for what is no HTTP/2 request.
    """
    if headers is None:
        return _refused(_trailers_only(GrpcStatus.RESOURCE_EXHAUSTED, "the metadata is too large"))
    pseudo, fields = split_fields(headers)
    if pseudo[b":method"] != b"POST":
        return _refused(build_http_error_block(405))
    if not is_grpc_content_type(fields.get(b"content-type", b"")):
        return _refused(build_http_error_block(415))
    path = pseudo[b":path"].decode("latin-1")
    try:
        return _accepted(path, fields, services)
    except GrpcError as error:
        block = _trailers_only(error.status, error.message)
        return _refused(block + ACCEPT_ENCODING_BLOCK if b"grpc-encoding" in fields else block)


def _accepted(path: str, fields: dict[bytes, bytes], services: Mapping[str, Service]) -> CallHead:
    service = services.get(path)
    if service is None:
        raise GrpcError(GrpcStatus.UNIMPLEMENTED, f"there is no method {path[:_MAX_SHOWN_PATH]!r}")
    encoding = _parse_encoding(fields)
    accepted = [item.strip() for item in fields.get(b"grpc-accept-encoding", b"").split(b",")]
    answer_encoding = encoding if encoding in accepted else b""
    return CallHead(
        path=path,
        metadata=MappingProxyType(fields),
        service=service,
        timeout_seconds=_parse_timeout(fields),
        encoding=encoding,
        answer_encoding=answer_encoding,
        answer_block=build_head_block(answer_encoding),
        refusal=None,
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


def _parse_timeout(fields: dict[bytes, bytes]) -> float | None:
    value = fields.get(b"grpc-timeout")
    if value is None:
        return None
    try:
        return parse_timeout(value)
    except ValueError as error:
        raise GrpcError(GrpcStatus.INVALID_ARGUMENT, str(error)) from None


def _refused(block: bytes) -> CallHead:
    return CallHead("", MappingProxyType({}), None, None, b"", b"", HEAD_BLOCK, block)


def _trailers_only(status: GrpcStatus, message: str) -> bytes:
    return HEAD_BLOCK + build_trailers_block(status, message)
