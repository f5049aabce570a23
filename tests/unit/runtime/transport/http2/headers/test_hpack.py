import hpack
import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as peer_decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.transport.http2.headers.hpack import (
    EMPTY_TABLE,
    Header,
    HeaderDecoder,
    HpackError,
    encode_header,
)
from modelservice_runtime.transport.http2.headers.huffman import decode_huffman

LIMIT = 16 * 1024
NAMES = st.sampled_from([b":path", b":status", b"content-type", b"te", b"x-a", b"x-b", b"x" * 300])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=12)


@given(st.binary(max_size=200))
def test_decode_huffman_of_what_another_encoder_wrote_is_the_same(text: bytes) -> None:
    encoded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    assert decode_huffman(encoded) == text


@given(st.binary(max_size=30))
def test_decode_huffman_of_anything_agrees_with_another_decoder(data: bytes) -> None:
    try:
        expected = peer_decode_huffman(data)
    except HPACKDecodingError:
        with pytest.raises(ValueError, match="Huffman"):
            decode_huffman(data)
    else:
        assert decode_huffman(data) == expected


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x1f\xff", b"\x18", b"\xff\xff\xff\xfc\x00"])
def test_decode_huffman_with_end_of_string_or_wrong_padding_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="Huffman"):
        decode_huffman(data)


@given(st.lists(HEADERS, max_size=6), st.booleans(), st.sampled_from([4096, 200, 64, 0]))
def test_decode_follows_another_encoder_over_many_blocks(
    blocks: list[list[Header]], huffman: bool, table_bytes: int
) -> None:
    encoder = hpack.Encoder()
    encoder.header_table_size = table_bytes
    decoder = HeaderDecoder(LIMIT)
    for headers in blocks:
        assert decoder.decode(bytes(encoder.encode(headers, huffman=huffman))) == headers


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_decode_of_anything_agrees_with_another_decoder(blocks: list[bytes]) -> None:
    ours, peer = HeaderDecoder(LIMIT), hpack.Decoder(max_header_list_size=2**30)
    for block in blocks:
        try:
            expected = peer.decode(block, raw=True)
        except hpack.HPACKError:
            return
        if not _same(ours, block, [(bytes(name), bytes(value)) for name, value in expected]):
            return


def _same(ours: HeaderDecoder, block: bytes, expected: list[Header]) -> bool:
    """False where we are stricter: a table size update behind a header, a huge number."""
    try:
        decoded = ours.decode(block)
    except HpackError as error:
        if "update behind" in str(error) or "too large" in str(error):
            return False
        raise
    assert decoded == expected
    return True


@given(st.lists(st.binary(max_size=400), max_size=4))
def test_decode_of_anything_raises_nothing_else_and_keeps_the_table_bounded(blocks: list[bytes]) -> None:
    decoder = HeaderDecoder(LIMIT)
    for block in blocks:
        try:
            decoder.decode(block)
        except HpackError:
            return
        finally:
            entries = decoder._table
            assert sum(len(name) + len(value) + 32 for name, value in entries) == decoder._table_bytes <= 4096


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (b"\x80", "index 0"),
        (b"\xbe", "index 62"),
        (b"\xff\xff\xff\xff\xff\xff\xff", "too large"),
        (b"\x7f\x80\x80\x80\x80\x80\x80\x80", "too large"),
        (b"\x40", "cut off"),
        (b"\x40\x05ab", "cut off"),
        (b"\x00\x7f\xff\xff\x7f", "cut off"),
        (b"\x3f\xe2\x1f", "table size"),
        (b"\x88\x20", "behind a header"),
        (b"\x00\x81\x00\x00", "Huffman"),
    ],
)
def test_decode_of_a_malformed_block_is_refused(block: bytes, sentence: str) -> None:
    with pytest.raises(HpackError, match=sentence):
        HeaderDecoder(LIMIT).decode(block)


def test_decode_of_a_bomb_keeps_nothing_and_follows_the_table() -> None:
    decoder = HeaderDecoder(LIMIT)
    large = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000
    assert decoder.decode(large) == [(b"a", b"v" * 4000)]
    assert decoder.decode(b"\xbe" * 16_000) is None
    assert decoder.decode(b"\xbe") == [(b"a", b"v" * 4000)]


def test_generation_changes_with_the_table_only() -> None:
    decoder = HeaderDecoder(LIMIT)
    decoder.decode(b"\x83\x86")
    unchanged = decoder.generation
    assert unchanged == 0
    decoder.decode(b"\x40\x01a\x01b")
    inserted = decoder.generation
    decoder.decode(EMPTY_TABLE)
    assert unchanged < inserted < decoder.generation


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=300))
def test_encode_header_is_what_another_decoder_reads(name: bytes, value: bytes) -> None:
    decoded = hpack.Decoder().decode(encode_header(name, value) * 2, raw=True)
    assert [(bytes(one), bytes(other)) for one, other in decoded] == [(name, value)] * 2
