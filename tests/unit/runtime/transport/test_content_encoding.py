import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedEncodingError
from modelservice_runtime.transport.content_encoding import choose_encoding, decode_body, encode_body


@given(body=st.binary(max_size=2000), encoding=st.sampled_from([b"gzip", b"deflate"]))
def test_encode_and_decode_body_are_inverse(body: bytes, encoding: bytes) -> None:
    assert decode_body(encode_body([body, b"", body], encoding), encoding, 10_000) == body * 2


@given(body=st.binary(max_size=500))
def test_decode_body_accepts_bare_and_wrapped_deflate(body: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    assert decode_body(raw.compress(body) + raw.flush(), b"deflate", 1000) == body
    assert decode_body(zlib.compress(body), b" Deflate ", 1000) == body


@given(data=st.binary(max_size=100), encoding=st.sampled_from([b"gzip", b"deflate"]))
def test_decode_body_of_any_bytes_is_bounded_or_refused(data: bytes, encoding: bytes) -> None:
    with suppress(InvalidRequestError, PayloadTooLargeError):
        assert len(decode_body(data, encoding, 50)) <= 50


def test_decode_body_at_the_limit_passes_and_one_more_does_not() -> None:
    assert len(decode_body(gzip.compress(bytes(100)), b"gzip", 100)) == 100
    with pytest.raises(PayloadTooLargeError):
        decode_body(gzip.compress(bytes(101)), b"gzip", 100)


@pytest.mark.parametrize("encoding", [b"", b"identity", b"IDENTITY"])
def test_decode_body_of_identity_is_the_body(encoding: bytes) -> None:
    assert decode_body(b"abc", encoding, 10) == b"abc"


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"\xff" * 200])
def test_decode_body_of_other_encodings_is_unsupported(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncodingError, match="gzip, deflate or none"):
        decode_body(b"abc", encoding, 10)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"gzip", b"gzip"),
        (b"br, deflate, GZIP;q=0.5", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip;q=0, deflate", b"deflate"),
        (b"gzip;q=nonsense", None),
        (b"br", None),
        (b"identity", None),
        (b"", None),
    ],
)
def test_choose_encoding(accepted: bytes, chosen: bytes | None) -> None:
    assert choose_encoding(accepted) == chosen
