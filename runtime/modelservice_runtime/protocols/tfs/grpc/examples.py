"""`PredictionService/Classify` and `Regress`: examples to a model's lane and back.

Source: tensorflow/serving `apis/input.proto`, `apis/classification.proto`, `apis/regression.proto`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.execution.offload import write_late_where_large
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.decoding import decode_and_run
from modelservice_runtime.protocols.grpc.infer_handler import Cancel, Reply, start_infer
from modelservice_runtime.protocols.tensors.protobuf_wire import FieldBudget, parse_message, read_fields
from modelservice_runtime.protocols.tensors.typed_values import LARGE_TEXTS_BYTES
from modelservice_runtime.protocols.tfs.examples import (
    CLASSIFY,
    REGRESS,
    class_matrices,
    decode_examples,
    find_class_outputs,
    find_labels,
    find_value_output,
    value_vector,
)
from modelservice_runtime.protocols.tfs.grpc.predict import find_model, model_spec
from modelservice_runtime.protocols.tfs.prepared_call import DEFAULT_SIGNATURE, check_signature_name
from modelservice_runtime.protos import tensorflow_pb2 as tf
from modelservice_runtime.protos import tensorflow_serving_pb2 as pb
from modelservice_runtime.tensors import BF16, BYTES, Array, InferRequest, TensorSpec, fp32_from_bf16
from modelservice_runtime.transport.grpc.stream import GrpcCall
from modelservice_runtime.transport.http import Buffer

# protobuf's parser makes up to forty bytes of objects of each byte of these.
MAX_EXAMPLES_BYTES = 4 * 1024 * 1024

_INPUT = 2

_Request: TypeAlias = pb.ClassificationRequest | pb.RegressionRequest
_Features: TypeAlias = dict[str, Any]
# Outputs to run for, and how they are encoded, for a number of examples.
_Write: TypeAlias = Callable[[Sequence[Array]], list[Buffer]]
_Plan: TypeAlias = Callable[[ModelSpec, int], tuple[Sequence[str], _Write]]


class TfsExamples:
    """Runs one of the two methods over one model table."""

    def __init__(
        self, table: ModelTable, request_class: type[_Request], method_name: str, plan: _Plan
    ) -> None:
        self._table = table
        self._request_class = request_class
        self._method_name = method_name
        self._plan = plan

    def start(self, message: bytes, call: GrpcCall, reply: Reply) -> Cancel | None:
        """See `infer_handler.Start`."""
        received_ns = call.received_ns
        if len(message) > MAX_EXAMPLES_BYTES:
            raise InvalidRequestError(
                f"the request has {len(message)} bytes; examples may have {MAX_EXAMPLES_BYTES}, Predict more"
            )
        handle = find_model(
            self._table, parse_message(self._request_class, _without_input(message)).model_spec
        )
        handle.statistics.arrivals["tfs-grpc"] += 1
        decode = partial(self._decode, handle.spec, message, call)
        run = partial(_run, handle, received_ns, reply)
        takes_long = len(message) >= LARGE_TEXTS_BYTES
        return decode_and_run(handle, received_ns, decode, run, reply, takes_long=takes_long)

    def _decode(self, spec: ModelSpec, message: bytes, call: GrpcCall) -> tuple[InferRequest, _Write]:
        request: _Request = parse_message(self._request_class, message)
        check_signature_name({"signature_name": request.model_spec.signature_name}, self._method_name)
        context, examples = read_examples(request.input)
        names, encode = self._plan(spec, len(examples))
        inputs = decode_examples(spec, context, examples)
        return InferRequest(inputs, names, timeout_seconds=call.timeout_seconds), encode


def _without_input(message: bytes) -> bytes:
    """The message but for its examples."""
    view = memoryview(message)
    fields = read_fields(view, FieldBudget())
    return b"".join([view[field.start : field.end] for field in fields if field.number != _INPUT])


def _run(
    handle: ModelHandle, received_ns: int, reply: Reply, decoded: tuple[InferRequest, _Write]
) -> Cancel | None:
    request, encode = decoded
    late = partial(write_late_where_large, encode)
    return start_infer(handle, request, received_ns, late, reply)


def tfs_classification(table: ModelTable) -> TfsExamples:
    """Classify."""
    return TfsExamples(table, pb.ClassificationRequest, CLASSIFY, _plan_classes)


def tfs_regression(table: ModelTable) -> TfsExamples:
    """Regress."""
    return TfsExamples(table, pb.RegressionRequest, REGRESS, _plan_values)


def read_examples(given: pb.Input) -> tuple[_Features, list[_Features]]:
    """The context and the examples, as features by name. Raises InvalidRequestError."""
    if given.WhichOneof("kind") == "example_list_with_context":
        listed = given.example_list_with_context
        context, examples = _read_features(listed.context), listed.examples
    else:
        context, examples = {}, given.example_list.examples
    if not examples:
        raise InvalidRequestError("the input needs at least one example")
    return context, [_read_features(example) for example in examples]


def _read_features(example: tf.Example) -> _Features:
    features: _Features = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind == "bytes_list":
            features[name] = [_read_text(name, value) for value in feature.bytes_list.value]
        elif kind is not None:
            features[name] = list(getattr(feature, kind).value)
    return features


def _read_text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f"feature {name[:100]!r} has bytes that are not UTF-8; ONNX strings are UTF-8"
        ) from None


def _plan_classes(spec: ModelSpec, count: int) -> tuple[Sequence[str], _Write]:
    wanted = find_class_outputs(spec)
    return tuple(tensor.name for tensor in wanted), partial(_encode_classes, spec, wanted, count)


def _plan_values(spec: ModelSpec, count: int) -> tuple[Sequence[str], _Write]:
    output = find_value_output(spec)
    return (output.name,), partial(_encode_values, spec, output, count)


def _encode_classes(
    spec: ModelSpec, wanted: Sequence[TensorSpec], count: int, outputs: Sequence[Array]
) -> list[Buffer]:
    """For every example its labels and scores; what the model lacks stays empty."""
    matrices = class_matrices(wanted, count, outputs)
    fields = ["label" if tensor.datatype is BYTES else "score" for tensor in wanted]
    columns = [_plain(tensor, matrices[tensor.name]).tolist() for tensor in wanted]
    labels = find_labels(wanted)
    if labels:
        fields.append("label")
        columns.append([labels] * count)
    response = pb.ClassificationResponse(model_spec=model_spec(spec, DEFAULT_SIGNATURE))
    for rows in zip(*columns, strict=True):
        classes = response.result.classifications.add().classes
        for values in zip(*rows, strict=True):
            classes.add(**dict(zip(fields, values, strict=True)))
    return [response.SerializeToString()]


def _encode_values(spec: ModelSpec, output: TensorSpec, count: int, outputs: Sequence[Array]) -> list[Buffer]:
    response = pb.RegressionResponse(model_spec=model_spec(spec, DEFAULT_SIGNATURE))
    for value in _plain(output, value_vector(output, count, outputs)).tolist():
        response.result.regressions.add(value=value)
    return [response.SerializeToString()]


def _plain(tensor: TensorSpec, array: Array) -> Array:
    return fp32_from_bf16(array) if tensor.datatype is BF16 else array
