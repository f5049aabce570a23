"""gzip and deflate of whole bodies (RFC 9110, 8.4); pure.

Decompression stops at the body limit, so a small bomb never becomes a large buffer.
"""

import zlib

from modelservice_runtime.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedEncodingError
from modelservice_runtime.transport.http import Buffer

# Below this an answer fits in one or two packets anyway, and compressing it only adds time.
MIN_COMPRESSED_BYTES = 1024
_LEVEL = 1  # on tensors higher levels cost several times the time for a few percent
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


def decode_body(body: bytes | bytearray, encoding: bytes, max_bytes: int) -> bytes | bytearray:
    """Undo a Content-Encoding.

    Raises UnsupportedEncodingError, InvalidRequestError for damaged data, PayloadTooLargeError when more
    than `max_bytes` come out.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name in (b"gzip", b"x-gzip"):
        return _inflate(body, _GZIP, max_bytes)
    if name == b"deflate":
        # RFC 9110 means zlib's wrapper; some clients send bare deflate, whose first byte differs.
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, _ZLIB if wrapped else _RAW_DEFLATE, max_bytes)
    raise UnsupportedEncodingError(
        f"Content-Encoding {encoding[:40].decode('latin-1')!r} is not supported; use gzip, deflate or none"
    )


def choose_encoding(accept_encoding: bytes) -> bytes | None:
    """Pick gzip or deflate from an Accept-Encoding header, or None to send the body as it is."""
    weights: dict[bytes, float] = {}
    for item in accept_encoding.lower().split(b","):
        name, _, parameters = item.partition(b";")
        weights[name.strip()] = _weight(parameters)
    for name in (b"gzip", b"deflate"):
        if weights.get(name, 0.0) > 0:
            return name
    return None


def encode_body(buffers: list[Buffer], encoding: bytes) -> bytes:
    """Compress the concatenation of `buffers` with an encoding from `choose_encoding`."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP if encoding == b"gzip" else _ZLIB)
    parts = [compressor.compress(buffer) for buffer in buffers]
    parts.append(compressor.flush())
    return b"".join(parts)


def _inflate(body: bytes | bytearray, window_bits: int, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(window_bits)
    try:
        decoded = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        raise InvalidRequestError("the compressed body is damaged") from None
    if len(decoded) > max_bytes:
        raise PayloadTooLargeError(f"the decompressed body exceeds the limit of {max_bytes} bytes")
    if not decompressor.eof:
        raise InvalidRequestError("the compressed body is incomplete")
    if decompressor.unused_data:
        raise InvalidRequestError("there is data behind the compressed body; send one gzip member")
    return decoded


def _weight(parameters: bytes) -> float:
    key, _, value = parameters.strip().partition(b"=")
    if key != b"q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
