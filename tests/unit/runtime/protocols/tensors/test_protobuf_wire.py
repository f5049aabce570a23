"""The wire format: what protobuf writes is read the same here, and no bytes do harm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    FIXED32,
    LENGTH_DELIMITED,
    VARINT,
    FieldBudget,
    count_varints,
    decode_varints,
    encode_field,
    encode_varint,
    read_field,
    read_fields,
    read_varint,
)
from modelservice_runtime.protos import inference_pb2 as pb

UINT64 = st.integers(0, 2**64 - 1)


@given(value=UINT64)
def test_varint_round_trip(value: int) -> None:
    encoded = encode_varint(value)
    assert read_varint(b"ab" + encoded + b"rest", 2) == (value, 2 + len(encoded))


@given(values=st.lists(UINT64, max_size=50) | st.lists(st.integers(0, 127), max_size=50))
def test_decode_varints_reads_what_protobuf_packs(values: list[int]) -> None:
    message = pb.InferTensorContents(uint64_contents=values).SerializeToString()
    packed = message[read_field(message, 0).value_start :] if values else b""
    assert count_varints(packed) == len(values)
    assert decode_varints(packed, len(values)).tolist() == values


def test_decode_varints_longer_than_one_chunk_keeps_every_number() -> None:
    values = np.random.default_rng(0).integers(0, 2**63, 30_000, dtype=np.uint64) >> np.arange(
        30_000, dtype=np.uint64
    ) % np.uint64(60)
    packed = b"".join(encode_varint(int(value)) for value in values)
    assert len(packed) > 100_000
    assert np.array_equal(decode_varints(packed, values.size), values)


@pytest.mark.parametrize("packed", [b"\x80", b"\x01\xff", b"\x80" * 200_000])
def test_decode_varints_cut_off_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="not valid protobuf"):
        decode_varints(packed, count_varints(packed))


def test_varint_of_more_than_64_bits_is_refused() -> None:
    packed = b"\x80" * 10 + b"\x01"
    with pytest.raises(InvalidRequestError, match="64 bits"):
        decode_varints(packed, 1)
    with pytest.raises(InvalidRequestError, match="does not end"):
        read_varint(packed, 0)


def test_negative_number_is_encoded_like_int64() -> None:
    encoded = pb.ModelMetadataResponse.TensorMetadata(shape=[-1]).SerializeToString()
    assert encode_field(3, encode_varint(-1)) == encoded


def test_read_fields_finds_every_type() -> None:
    message = b"\x08\x96\x01" + b"\x15abcd" + b"\x19abcdefgh" + b"\x22\x02ab"
    found = [
        (field.number, field.wire_type, message[field.value_start : field.end])
        for field in read_fields(message, FieldBudget())
    ]
    assert found == [
        (1, VARINT, b"\x96\x01"),
        (2, FIXED32, b"abcd"),
        (3, 1, b"abcdefgh"),
        (4, LENGTH_DELIMITED, b"ab"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        b"\x0a", b"\x0a\x05abcd", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x15abc", b"\x19abcdefg",
        b"\x08\x80", b"\x00\x01", b"\x0b\x0c", b"\x0e", b"\x0f", b"\x80",
    ],
)  # fmt: skip
def test_read_fields_of_broken_bytes_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="not valid protobuf"):
        list(read_fields(message, FieldBudget()))


def test_read_fields_stops_when_the_budget_is_spent() -> None:
    with pytest.raises(InvalidRequestError, match="too many fields"):
        list(read_fields(b"\x0a\x00" * 11, FieldBudget(10)))


@given(message=st.binary(max_size=200))
def test_read_fields_of_any_bytes_ends_in_fields_or_a_typed_error(message: bytes) -> None:
    try:
        fields = list(read_fields(message, FieldBudget()))
    except InvalidRequestError:
        return
    assert b"".join(message[field.start : field.end] for field in fields) == message
