"""Requests that are wrong in one place: each is refused with a sentence that names it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.protocols.oip.oip_messages import (
    decode,
    make_raw_request,
    make_request,
    model_of,
    set_contents,
    with_parameter,
)

from modelservice_runtime.errors import InvalidRequestError, UnsupportedOperationError
from modelservice_runtime.protocols.tensors.protobuf_wire import encode_field, field_head
from modelservice_runtime.protos import inference_pb2 as pb

MODEL = model_of("FP32", 2)


def two_values(datatype: str, name: str, values: list[Any]) -> Callable[[], pb.ModelInferRequest]:
    def build() -> pb.ModelInferRequest:
        request = make_request(datatype=datatype)
        getattr(request.inputs[0].contents, name).extend(values)
        return request

    return build


def changed(change: Callable[[pb.ModelInferRequest], object]) -> Callable[[], pb.ModelInferRequest]:
    def build() -> pb.ModelInferRequest:
        request = make_raw_request()
        change(request)
        return request

    return build


RANKS = {"FP32": 2}
WRONG: dict[str, tuple[str, Callable[[], pb.ModelInferRequest | bytes], str]] = {
    "no data": ("FP32", make_request, r"'x' has 0 elements, but FP32 \[1, 2\] needs 2"),
    "too few": ("FP32", two_values("FP32", "fp32_contents", [1]), "has 1 elements"),
    "other field": (
        "FP32",
        two_values("FP32", "fp64_contents", [1, 2]),
        "has fp64_contents, but FP32 belongs",
    ),
    "out of range": ("INT8", two_values("INT8", "int_contents", [1, 128]), "the value 128 at index 1"),
    "below zero": ("INT8", two_values("INT8", "int_contents", [-129, 1]), "the value -129 at index 0"),
    "unsigned": ("UINT16", two_values("UINT16", "uint_contents", [65536, 1]), "out of range for UINT16"),
    "no UTF-8": ("BYTES", two_values("BYTES", "bytes_contents", [b"\xff", b""]), "not UTF-8"),
    "many strings": (
        "BYTES",
        two_values("BYTES", "bytes_contents", [b""] * 9),
        "9 elements",
    ),
    "datatype": ("FP64", make_raw_request, "has datatype 'FP32', but the model expects FP64"),
    "unknown datatype": (
        "FP32",
        changed(lambda r: setattr(r.inputs[0], "datatype", "F")),
        "has datatype 'F'",
    ),
    "both": ("FP32", changed(lambda r: set_contents(r.inputs[0], np.ones(2))), "both"),
    "two raw": (
        "FP32",
        changed(lambda r: r.raw_input_contents.append(b"")),
        "2 raw_input_contents for 1 inputs",
    ),
    "short raw": ("FP32", changed(lambda r: r.raw_input_contents.__setitem__(0, b"1234567")), "has 7 bytes"),
    "negative": ("FP32", changed(lambda r: r.inputs[0].shape.__setitem__(0, -1)), "every dimension"),
    "overflow": ("FP32", changed(lambda r: r.inputs[0].shape.extend([2**40, 2**40])), "too large"),
    "rank": ("FP32", changed(lambda r: r.inputs[0].shape.extend([1] * 40)), "dimensions"),
    "name": ("FP32", changed(lambda r: setattr(r.inputs[0], "name", "w")), "input 'w' is unknown"),
    "no name": ("FP32", changed(lambda r: r.inputs[0].ClearField("name")), "an input has no 'name'"),
    "twice": ("FP32", changed(lambda r: r.inputs.append(r.inputs[0])), "'x' appears twice"),
    "missing": ("FP32", lambda: pb.ModelInferRequest(model_name="m"), "missing input: 'x' FP32"),
    "output": ("FP32", changed(lambda r: r.outputs.add(name="w")), "output 'w' is unknown"),
    "output twice": (
        "FP32",
        changed(lambda r: [r.outputs.add(name="y") for _ in "12"]),
        "2 outputs are requested",
    ),
    "10^5 outputs": (
        "FP32",
        changed(
            lambda r: r.outputs.extend([pb.ModelInferRequest.InferRequestedOutputTensor(name="y")] * 10**5)
        ),
        "too many fields",
    ),
    "timeout": ("FP32", lambda: with_parameter("timeout", int64_param=-1), "'timeout' must be a positive"),
    "text timeout": (
        "FP32",
        lambda: with_parameter("timeout", string_param="1"),
        "'timeout' must be a positive",
    ),
    "flag": ("FP32", lambda: with_parameter("binary_data_output", int64_param=1), "must be true or false"),
    "huge head": ("FP32", lambda: with_parameter("note", string_param="a" * (1 << 20)), "beside its tensors"),
    "BYTES past the end": (
        "BYTES",
        lambda: pb.ModelInferRequest(
            model_name="m",
            inputs=[{"name": "x", "datatype": "BYTES", "shape": [1]}],
            raw_input_contents=[b"\xff\xff\xff\x7fa"],
        ),
        "ends past its data",
    ),
    "id": ("FP32", lambda: make_raw_request().SerializeToString() + b"\x1a\x01\xff", "not UTF-8"),
    "two ids": ("FP32", lambda: b"\x1a\x01\xff" + make_raw_request(id="7").SerializeToString(), "not UTF-8"),
    "name in Latin-1": ("FP32", lambda: b"\x0a\x01\xff", "not UTF-8"),
    "truncated": ("FP32", lambda: make_raw_request().SerializeToString()[:-1], "ends within a field"),
    "tag only": ("FP32", lambda: make_raw_request().SerializeToString() + b"\x0a", "ends within a field"),
    "raw as a number": ("FP32", lambda: b"\x0a\x01m\x38\x01", "wrong type"),
    "group": ("FP32", lambda: b"\x0a\x01m\x7b\x7c", "unknown type"),
    "input as a number": ("FP32", lambda: b"\x0a\x01m\x28\x01", "missing input"),
    "cut float": (
        "FP32",
        lambda: typed_by_hand("FP32", b"\x32\x03abc"),
        "packed field of 4-byte numbers has 3",
    ),
    "float as varint": ("FP32", lambda: typed_by_hand("FP32", b"\x30\x01"), "wrong type"),
    "bytes as varint": ("BYTES", lambda: typed_by_hand("BYTES", b"\x40\x01" * 2), "wrong type"),
    "contents cut": ("FP32", lambda: typed_by_hand("FP32", b"\x32\x05ab"), "ends within a field"),
}


def typed_by_hand(datatype: str, contents: bytes) -> bytes:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=[1, 2])
    return b"\x0a\x01m" + encode_field(5, tensor.SerializeToString() + encode_field(5, contents))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_request_is_refused_with_a_sentence(case: str) -> None:
    datatype, build, sentence = WRONG[case]
    with pytest.raises(InvalidRequestError, match=sentence):
        decode(
            model_of(datatype, None if case == "overflow" else 2 if datatype != "BYTES" else None), build()
        )


@pytest.mark.parametrize(
    ("place", "name"),
    [("inputs", "shared_memory_region"), ("outputs", "shared_memory_region"), ("outputs", "classification")],
)
def test_extensions_that_are_lacking_are_refused_as_such(place: str, name: str) -> None:
    request = make_raw_request(outputs=[{"name": "y"}])
    getattr(request, place)[0].parameters[name].string_param = "a"
    with pytest.raises(UnsupportedOperationError):
        decode(MODEL, request)


def test_typed_outputs_of_a_datatype_without_typed_contents_are_refused_before_the_run() -> None:
    request = make_request(datatype="FP16")
    request.parameters["binary_data_output"].bool_param = False
    request.raw_input_contents.append(bytes(4))
    with pytest.raises(InvalidRequestError, match="output 'y' is FP16, which has no typed contents"):
        decode(model_of("FP16"), request)


def test_crumbs_are_refused_before_protobuf_sees_them() -> None:
    for crumb in (b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00", b"\x1a\x00"):
        with pytest.raises(InvalidRequestError, match="too many fields"):
            decode(MODEL, b"\x0a\x01m" + crumb * 20_000)
    crumbs = b"\x22\x00" * 20_000
    with pytest.raises(InvalidRequestError, match="too many fields"):
        decode(MODEL, b"\x0a\x01m" + field_head(5, len(crumbs)) + crumbs)
