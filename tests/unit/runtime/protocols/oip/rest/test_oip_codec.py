"""ModelInferRequest to arrays and arrays to ModelInferResponse: every datatype, and every way to be wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.unit.runtime.protocols.oip.oip_messages import (
    CONTENTS_FIELDS,
    decode,
    make_raw_request,
    make_request,
    model_of,
    set_contents,
    with_parameter,
)

from modelservice_runtime.errors import InvalidRequestError, ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.grpc.request import (
    HeadCache,
    bind_head,
    decode_inputs,
    parse_head,
    split_request,
)
from modelservice_runtime.protocols.oip.grpc.response import (
    encode_response,
    encode_stream_error,
    encode_stream_response,
    encode_typed_response,
)
from modelservice_runtime.protocols.tensors.protobuf_wire import encode_field, encode_varint
from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.tensors import BYTES, DATATYPES, FP32, Array, TensorSpec

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
MODEL = ModelSpec(
    "m",
    "7",
    (TensorSpec("x", FP32, (-1, 2)),),
    (TensorSpec("y", FP32, (-1, 2)), TensorSpec("z", BYTES, (-1,))),
)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    name = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if name == "BYTES":
        return name, draw(hnp.arrays(object, shape, elements=TEXTS))
    return name, draw(hnp.arrays(DATATYPES[name].numpy, shape))


def same(left: Array, right: Array) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def raw_bytes(array: Array) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    texts = [text.encode() for text in array.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@given(case=arrays(), request_id=st.text(st.characters(codec="utf-8"), max_size=5))
def test_raw_tensor_round_trip(case: tuple[str, Array], request_id: str) -> None:
    datatype, array = case
    spec = model_of(datatype)
    request = make_request(shape=array.shape, datatype=datatype, id=request_id)
    request.raw_input_contents.append(raw_bytes(array))
    message = request.SerializeToString()

    decoded = decode(spec, message)
    split = split_request(message)
    bound = bind_head(parse_head(split.head), spec)
    response = pb.ModelInferResponse.FromString(b"".join(encode_response(bound, split.id, [array])))

    assert (
        decoded.inputs["x"].tolist() == array.tolist()
        if array.dtype == object
        else same(decoded.inputs["x"], array)
    )
    assert (response.model_name, response.model_version, response.id) == ("m", "1", request_id)
    assert (response.outputs[0].name, response.outputs[0].datatype) == ("y", datatype)
    assert tuple(response.outputs[0].shape) == array.shape
    assert list(response.raw_output_contents) == [raw_bytes(array)]


@given(case=arrays())
def test_typed_tensor_round_trip(case: tuple[str, Array]) -> None:
    datatype, array = case
    spec = model_of(datatype)
    request = make_request(shape=array.shape, datatype=datatype)
    if datatype not in CONTENTS_FIELDS:
        with pytest.raises(InvalidRequestError, match=f"'x' is {datatype}, which has no typed contents"):
            decode(spec, request)
        return
    values = np.array([text.encode() for text in array.ravel()], object) if datatype == "BYTES" else array
    set_contents(request.inputs[0], values)
    decoded = decode(spec, request).inputs["x"]
    bound = bind_head(parse_head(split_request(request.SerializeToString()).head), spec)
    response = pb.ModelInferResponse.FromString(b"".join(encode_typed_response(bound, b"", [array])))
    answer = getattr(response.outputs[0].contents, CONTENTS_FIELDS[datatype])

    assert decoded.shape == array.shape
    assert decoded.dtype == array.dtype
    expected = getattr(request.inputs[0].contents, CONTENTS_FIELDS[datatype])
    assert repr(list(answer)) == repr(list(expected))  # NaN is not equal to itself
    if datatype == "BYTES":
        assert decoded.tolist() == array.tolist()
    else:
        assert np.array_equal(decoded, array, equal_nan=array.dtype.kind == "f")


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=10), cut=st.integers(0, 10))
def test_contents_in_pieces_and_unpacked_are_one_tensor(values: list[int], cut: int) -> None:
    pieces = b"".join(
        encode_field(5, pb.InferTensorContents(int_contents=part).SerializeToString())
        for part in (values[:cut], values[cut:])
    )
    single = b"".join(b"\x10" + encode_varint(value) for value in values)
    for contents in (pieces, encode_field(5, single)):
        tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="INT32", shape=[len(values)])
        message = b"\x0a\x01m" + encode_field(5, tensor.SerializeToString() + contents)
        assert decode(model_of("INT32"), message).inputs["x"].tolist() == values


def test_unpacked_floats_are_one_tensor() -> None:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[2])
    single = b"".join(b"\x35" + np.float32(value).tobytes() for value in (1.5, -2))
    message = b"\x0a\x01m" + encode_field(5, tensor.SerializeToString() + encode_field(5, single))
    assert decode(model_of("FP32"), message).inputs["x"].tolist() == [1.5, -2]


def test_large_raw_tensor_is_not_copied_in_or_out() -> None:
    array = np.zeros((4096, 2), np.float32)
    message = make_raw_request(array).SerializeToString()
    split = split_request(message)
    assert split.raw[0].obj is message
    assert len(split.head) < 100
    bound = bind_head(parse_head(split.head), MODEL)
    buffers = encode_response(bound, b"", [array, np.array(["a"], object)])
    assert any(isinstance(part, memoryview) and np.shares_memory(part, array) for part in buffers)


def test_fields_in_any_order_are_understood() -> None:
    request = make_raw_request(id="7")
    message = request.SerializeToString()
    head = pb.ModelInferRequest.FromString(message)
    head.ClearField("raw_input_contents")
    head.ClearField("id")
    raw, rest = encode_field(7, request.raw_input_contents[0]), head.SerializeToString()
    for shuffled in (
        raw + encode_field(3, b"7") + rest,
        rest[:3] + raw + rest[3:] + encode_field(3, b"7"),
        encode_field(3, b"lost") + encode_field(3, b"7") + rest + b"\xfa\x7f\x01a" + raw,
    ):
        assert decode(MODEL, shuffled).inputs["x"].tolist() == [[1, 1]]
        assert split_request(shuffled).id == b"7"


def test_head_is_parsed_once_and_checked_once_for_a_model() -> None:
    cache = HeadCache()
    first = cache.parse(split_request(make_raw_request(id="1").SerializeToString()).head)
    second = cache.parse(split_request(make_raw_request(id="2").SerializeToString()).head)
    assert first is second
    bound = bind_head(first, MODEL)
    assert bind_head(second, MODEL) is bound
    other = model_of("FP32")
    assert bind_head(second, other).spec is other


def test_messages_that_begin_alike_are_cut_alike() -> None:
    cache = HeadCache()
    messages = [
        make_raw_request(np.full((rows, 2), rows + number, np.float32), id=request_id).SerializeToString()
        for number in range(3)
        for rows in (1, 2, 40)
        for request_id in ("", "7")
    ]
    for message in [*messages, *messages]:
        head, split = cache.open(message)
        expected = split_request(message)
        assert (split.id, split.raw) == (expected.id, expected.raw)
        assert decode_inputs(head, bind_head(head, MODEL), split).inputs["x"].tobytes() == split.raw[0]
    longer = make_raw_request(np.ones((2, 2), np.float32)).SerializeToString()
    renamed = longer.replace(b"\x0a\x01m", b"\x0a\x01w")
    assert [cache.open(message)[0].model_name for message in (longer, renamed, longer)] == ["m", "w", "m"]


def test_heads_with_tensors_in_them_are_not_kept() -> None:
    cache = HeadCache()
    request = make_request()
    set_contents(request.inputs[0], np.ones(2))
    head = request.SerializeToString()
    assert cache.parse(head) is not cache.parse(head)


def test_requested_outputs_keep_their_order() -> None:
    request = make_raw_request(outputs=[{"name": "z"}, {"name": "y"}])
    assert decode(MODEL, request).output_names == ("z", "y")
    assert decode(MODEL, make_raw_request()).output_names == ("y", "z")


@pytest.mark.parametrize(
    ("parameters", "typed"),
    [
        ([None, None], False), ([False, False], True), ([True, False], False), ([False, None], False),
        ([], False),
    ],
)  # fmt: skip
def test_typed_outputs_are_sent_only_when_no_output_is_wanted_binary(
    parameters: list[bool | None], typed: bool
) -> None:
    request = make_raw_request()
    for name, binary in zip("yz", parameters, strict=False):
        output = request.outputs.add(name=name)
        if binary is not None:
            output.parameters["binary_data"].bool_param = binary
    assert parse_head(split_request(request.SerializeToString()).head).typed_outputs is typed
    request.parameters["binary_data_output"].bool_param = False
    assert parse_head(split_request(request.SerializeToString()).head).typed_outputs is (not any(parameters))


@pytest.mark.parametrize("choice", ["int64_param", "uint64_param"])
def test_timeout_is_in_microseconds(choice: str) -> None:
    assert decode(MODEL, with_parameter("timeout", **{choice: 1500})).timeout_seconds == 0.0015
    assert decode(MODEL, with_parameter("timeout", **{choice: 0})).timeout_seconds is None


def test_priority_reaches_the_queue() -> None:
    assert decode(MODEL, with_parameter("priority", uint64_param=1)).priority == 1
    assert decode(MODEL, make_raw_request()).priority == 0


def test_sequence_parameters_are_ignored_as_triton_does_for_such_models() -> None:
    request = with_parameter("sequence_id", int64_param=5)
    request.parameters["sequence_start"].bool_param = True
    assert decode(MODEL, request).inputs["x"].tolist() == [[1, 1]]


@given(
    message=st.binary(max_size=120)
    | st.tuples(st.integers(0, 60), st.binary(max_size=3)).map(
        lambda edit: b"".join(
            (VALID[: edit[0]], edit[1], VALID[edit[0] + len(edit[1]) :]),
        )
    )
)
def test_any_bytes_end_in_a_request_or_a_typed_error(message: bytes) -> None:
    try:
        decoded = decode(MODEL, message)
    except ServingError:
        return
    reference = pb.ModelInferRequest.FromString(message)
    assert list(decoded.inputs) == ["x"]
    assert decoded.inputs["x"].shape == tuple(reference.inputs[0].shape)


VALID = make_raw_request(id="an id", outputs=[{"name": "y"}]).SerializeToString()


def test_stream_messages_are_read_by_protobuf() -> None:
    bound = bind_head(parse_head(split_request(VALID).head), MODEL)
    plain = encode_response(bound, b"5", [np.ones((1, 2), np.float32)])
    answer = pb.ModelStreamInferResponse.FromString(b"".join(encode_stream_response(plain)))
    assert answer.error_message == ""
    assert answer.infer_response.id == "5"
    assert answer.infer_response.parameters["triton_final_response"].bool_param
    error = pb.ModelStreamInferResponse.FromString(encode_stream_error(b"6", "it is wrong"))
    assert (error.error_message, error.infer_response.id) == ("it is wrong", "6")
