"""Decoders of whole inputs: a value, or a typed error.

The shortcuts for requests that look like earlier ones must mean what the full decoders mean: every accepted
request is decoded both ways.
"""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS, AUDIENCE, ISSUER, assemble, make_claims, sign

from modelservice_runtime.auth.tokens import TokenVerifier, parse_jwks
from modelservice_runtime.errors import ServingError, StartupError, UnauthenticatedError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.onnx.graph.scan import scan_model
from modelservice_runtime.protocols.oip.grpc import request as oip_request
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, decode_infer
from modelservice_runtime.protocols.oip.rest.planned_codec import InferCodec
from modelservice_runtime.protocols.tfs.documents import TF_DTYPES
from modelservice_runtime.protocols.tfs.grpc.predict import cut_predict_request, decode_predict_request
from modelservice_runtime.protocols.tfs.rest.example_codec import prepare_classify, prepare_regress
from modelservice_runtime.protocols.tfs.rest.predict_codec import prepare_predict
from modelservice_runtime.protos import inference_pb2, tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.settings.security import JwtSettings
from modelservice_runtime.tensors import DATATYPES, InferRequest, TensorSpec, count_elements

OUTPUT = (TensorSpec("y", DATATYPES["FP32"], (-1,)),)
SPECS = [
    ModelSpec(f"m{name}", "1", (TensorSpec("x", datatype, shape),), OUTPUT)
    for name, datatype in DATATYPES.items()
    for shape in ((-1,), (-1, 4), None)
] + [
    ModelSpec(
        "pair",
        "1",
        (TensorSpec("x", DATATYPES["FP32"], (-1, 2)), TensorSpec("t", DATATYPES["BYTES"], (-1,))),
        OUTPUT,
    )
]
HEADS = oip_request.HeadCache()
CODECS = [InferCodec(spec) for spec in SPECS]


def _spec_of(data: bytes) -> tuple[int, bytes]:
    """The first byte chooses the model."""
    return data[0] % len(SPECS), data[1:]


def check_arrays(spec: ModelSpec, request: InferRequest) -> None:
    """Every input is there, in the model's datatype and a shape that fits."""
    assert set(request.inputs) == {tensor.name for tensor in spec.inputs}
    for tensor in spec.inputs:
        array = request.inputs[tensor.name]
        assert array.dtype == tensor.datatype.numpy, tensor
        assert array.size == count_elements(array.shape)
        if tensor.shape is not None:
            assert len(tensor.shape) == array.ndim
            assert all(want in (-1, got) for want, got in zip(tensor.shape, array.shape, strict=True))


def _outcome(decode: Callable[[], DecodedInfer]) -> DecodedInfer | type[ServingError]:
    try:
        return decode()
    except ServingError as error:
        str(error).encode()
        return type(error)


def _check_infer(which: int, body: bytes, header: bytes | None) -> None:
    spec = SPECS[which]
    full = _outcome(lambda: decode_infer(spec, body, header))
    for _ in range(3):
        again = _outcome(lambda: CODECS[which].decode(body, header, False))
        assert type(again) is type(full), (again, full)
        if isinstance(full, DecodedInfer) and isinstance(again, DecodedInfer):
            check_arrays(spec, again.request)
            assert again.request.id == full.request.id
            assert again.request.timeout_seconds == full.request.timeout_seconds
            assert list(again.request.output_names) == list(full.request.output_names)
            for name, array in full.request.inputs.items():
                assert array.shape == again.request.inputs[name].shape
                assert (
                    array.tolist() == again.request.inputs[name].tolist()
                    or array.tobytes() == again.request.inputs[name].tobytes()
                )
        else:
            assert again is full


def check_json(data: bytes) -> None:
    """An infer request in JSON."""
    if data:
        which, body = _spec_of(data)
        _check_infer(which, body, None)


def json_seeds() -> Iterator[bytes]:
    for which, spec in enumerate(SPECS):
        values: object = ["a"] * 4 if spec.inputs[0].datatype.name == "BYTES" else [1, 0, 1, 1]
        shape = [1, 4] if spec.inputs[0].shape == (-1, 4) else [4]
        entry = {"name": "x", "shape": shape, "datatype": spec.inputs[0].datatype.name, "data": values}
        yield bytes([which]) + json.dumps({"inputs": [entry | {"data": [{"b64": "YQ=="}] * 4}]}).encode()
        yield bytes([which]) + json.dumps({"inputs": [entry]}).encode()
        document = {"id": "7", "parameters": {"timeout": 5, "binary_data_output": True}, "inputs": [entry]}
        yield bytes([which]) + json.dumps(document | {"outputs": [{"name": "y"}]}).encode()


def check_binary(data: bytes) -> None:
    """An infer request with binary tensors: model, length of the header's text, header, body."""
    if len(data) < 2:
        return
    which, rest = _spec_of(data)
    size = rest[0] % 8
    _check_infer(which, rest[1 + size :], rest[1 : 1 + size])


def binary_seeds() -> Iterator[bytes]:
    for which, spec in enumerate(SPECS):
        tensor = spec.inputs[0]
        content = (
            bytes(4 * tensor.datatype.item_bytes)
            if tensor.datatype.item_bytes
            else struct.pack("<I", 1) + b"a"
        )
        shape = [1, 4] if tensor.shape == (-1, 4) else [4 if tensor.datatype.item_bytes else 1]
        entry = {"name": "x", "shape": shape, "datatype": tensor.datatype.name}
        head = json.dumps({"inputs": [entry | {"parameters": {"binary_data_size": len(content)}}]}).encode()
        length = str(len(head)).encode()
        yield bytes([which, len(length)]) + length + head + content
        yield bytes([which, 1]) + b"0" + content


def check_tfs(data: bytes) -> None:
    """A request of TensorFlow Serving's: model, kind, JSON."""
    if len(data) < 2:
        return
    which, rest = _spec_of(data)
    prepare = (prepare_predict, prepare_classify, prepare_regress)[rest[0] % 3]
    with suppress(ServingError):
        check_arrays(SPECS[which], prepare(SPECS[which], rest[1:]).request)


def tfs_seeds() -> Iterator[bytes]:
    for which in range(len(SPECS)):
        for text in (
            '{"instances":[1,2]}',
            '{"instances":[{"x":[1,2,3,4]}]}',
            '{"inputs":{"x":[[1,2,3,4]]}}',
        ):
            yield bytes([which, 0]) + text.encode()
        yield bytes([which, 1]) + b'{"examples":[{"x":[1,2,3,4]}]}'
        yield bytes([which, 2]) + b'{"signature_name":"a","context":{},"examples":[{"x":{"b64":"YQ=="}}]}'


def check_protobuf(data: bytes) -> None:
    """A ModelInferRequest; read in full by protobuf too, it must hold the same."""
    if not data:
        return
    which, message = _spec_of(data)
    spec = SPECS[which]
    with suppress(ServingError):
        split = oip_request.split_request(message)
        head = oip_request.parse_head(split.head)
        request = oip_request.decode_inputs(head, oip_request.bind_head(head, spec), split)
        check_arrays(spec, request)
        whole = inference_pb2.ModelInferRequest.FromString(message)
        assert whole.id.encode() == bytes(split.id)
        assert whole.model_name == head.model_name
        for known_head, known in (HEADS.open(message), HEADS.open(message)):
            assert (known.id, known.raw) == (split.id, split.raw)
            assert replace(known_head, bound=None) == replace(head, bound=None)


def protobuf_seeds() -> Iterator[bytes]:
    for which, spec in enumerate(SPECS):
        tensor = spec.inputs[0]
        request = inference_pb2.ModelInferRequest(model_name="m", id="7")
        request.parameters["timeout"].int64_param = 5
        shape = [1, 4] if tensor.shape == (-1, 4) else [4]
        entry = request.inputs.add(name="x", datatype=tensor.datatype.name, shape=shape)
        typed = inference_pb2.ModelInferRequest.FromString(request.SerializeToString())
        request.raw_input_contents.append(bytes(4 * (tensor.datatype.item_bytes or 4)))
        yield bytes([which]) + request.SerializeToString()
        entry = typed.inputs[0]
        entry.contents.fp32_contents.extend([1, 2, 3, 4])
        yield bytes([which]) + typed.SerializeToString()
        entry.ClearField("contents")
        entry.contents.int_contents.extend([1, 0, -1, 4])
        yield bytes([which]) + typed.SerializeToString()


def check_tensorflow(data: bytes) -> None:
    """A PredictRequest; read in full by protobuf too, it must hold the same."""
    if not data:
        return
    which, message = _spec_of(data)
    with suppress(ServingError):
        parts = cut_predict_request(message)
        request = decode_predict_request(SPECS[which], parts)
        check_arrays(SPECS[which], request)
        whole = tensorflow_serving_pb2.PredictRequest.FromString(message)
        parse_entry = tensorflow_serving_pb2.PredictRequest.InputsEntry.FromString
        cut = {entry.key: entry.value for entry in map(parse_entry, map(bytes, parts.inputs))}
        # protobuf drops an entry that holds a field it does not know.
        assert set(whole.inputs) <= set(cut)
        for name, tensor in whole.inputs.items():
            assert tensor.tensor_content == cut[name].tensor_content
        assert whole.model_spec == parts.described.model_spec


def tensorflow_seeds() -> Iterator[bytes]:
    for which, spec in enumerate(SPECS):
        request = tensorflow_serving_pb2.PredictRequest(model_spec={"name": "m"}, output_filter=["y"])
        for tensor in spec.inputs:
            value = request.inputs[tensor.name]
            value.dtype = tensorflow_pb2.DataType.Value(TF_DTYPES[tensor.datatype.name])
            for size in [1, 4] if tensor.shape == (-1, 4) else [4]:
                value.tensor_shape.dim.add(size=size)
            value.tensor_content = bytes(4 * tensor.datatype.item_bytes)
        yield bytes([which]) + request.SerializeToString()
        value = request.inputs["x"]
        value.ClearField("tensor_content")
        value.float_val.extend([1, 2, 3, 4])
        value.string_val.extend([b"a", b"b"])
        yield bytes([which]) + request.SerializeToString()


def check_onnx(data: bytes) -> None:
    """A model file."""
    with suppress(StartupError):
        scan = scan_model(memoryview(data))
        assert isinstance(scan.time_varies, bool)
        assert isinstance(scan.has_control_flow, bool)


def onnx_seeds() -> Iterator[bytes]:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    weight = numpy_helper.from_array(np.ones(4, np.float32), "w")
    outside = TensorProto(name="v", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="w.bin")
    branch = helper.make_graph([helper.make_node("Tile", ["w", "s"], ["y"])], "b", [], [info], [weight])
    nodes = [
        helper.make_node("Add", ["x", "w"], ["a"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("F", ["a"], ["z"], domain="my"),
    ]
    body = [helper.make_node("Constant", [], ["b"], value=weight)]
    function = helper.make_function("my", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    for initializers in ([weight], [weight, outside]):
        graph = helper.make_graph(nodes, "g", [info], [info], initializers)
        yield helper.make_model(graph, functions=[function]).SerializeToString()


VERIFIER = TokenVerifier(parse_jwks(ALL_KEYS), JwtSettings(None, ISSUER, AUDIENCE))  # type: ignore[arg-type]
GOOD = [sign(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")]


def check_token(data: bytes) -> None:
    """A bearer token; only those we signed are good."""
    try:
        VERIFIER.verify(data)
    except UnauthenticatedError:
        return
    # The last character of a signature in base64 holds bits that mean nothing.
    assert any(data[:-1] == token[:-1] for token in GOOD), data


def token_seeds() -> Iterator[bytes]:
    yield from GOOD
    yield assemble({"alg": "none"}, make_claims(), b"")
    yield assemble({"alg": "HS256", "kid": "RS256", "crit": ["b64"], "b64": False}, make_claims(aud=["a"]))
