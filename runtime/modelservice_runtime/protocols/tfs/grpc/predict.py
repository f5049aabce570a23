"""`tensorflow.serving.PredictionService/Predict`: PredictRequest to a model's lane and back.

Source: tensorflow/serving `apis/predict.proto`, `servables/tensorflow/predict_util.cc`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from modelservice_runtime.execution.offload import LARGE_BYTES, write_late_where_large
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.decoding import decode_and_run
from modelservice_runtime.protocols.grpc.infer_handler import Cancel, Reply, start_infer
from modelservice_runtime.protocols.metadata import version_number
from modelservice_runtime.protocols.signature import (
    check_complete,
    find_input,
    find_outputs,
)
from modelservice_runtime.protocols.tensors.pieces import join_small
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    LENGTH_DELIMITED,
    MAX_FIELDS,
    FieldBudget,
    encode_field,
    field_head,
    malformed,
    parse_without_tensors,
    read_fields,
)
from modelservice_runtime.protocols.tensors.typed_values import LARGE_TEXTS_BYTES
from modelservice_runtime.protocols.tfs.grpc.tensors import (
    TensorParts,
    cut_tensor,
    decode_tensor_proto,
    encode_tensor_proto,
)
from modelservice_runtime.protocols.tfs.lookup import find_handle
from modelservice_runtime.protocols.tfs.prepared_call import DEFAULT_SIGNATURE, check_signature_name
from modelservice_runtime.protocols.tfs.rest.predict_codec import METHOD_NAME
from modelservice_runtime.protos import tensorflow_serving_pb2 as pb
from modelservice_runtime.tensors import MAX_TEXTS, Array, InferRequest
from modelservice_runtime.transport.grpc.stream import GrpcCall
from modelservice_runtime.transport.http import Buffer

_INPUTS = 2
_KEY, _VALUE = 1, 2
_OUTPUTS, _MODEL_SPEC = 1, 2


@dataclass(slots=True)
class PredictParts:
    """A PredictRequest cut apart: the message without its inputs, and the inputs, each an entry of a map."""

    described: pb.PredictRequest
    inputs: list[memoryview]
    budget: FieldBudget


class TfsPrediction:
    """Runs PredictRequests over one model table."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    def start(self, message: bytes, call: GrpcCall, reply: Reply) -> Cancel | None:
        """See `infer_handler.Start`; the answer is an encoded PredictResponse."""
        received_ns = call.received_ns
        parts = cut_predict_request(message)
        handle = find_model(self._table, parts.described.model_spec)
        handle.statistics.arrivals["tfs-grpc"] += 1
        decode = partial(self._decode, handle.spec, parts, call)
        run = partial(_run, handle, received_ns, reply)
        takes_long = len(message) >= (LARGE_TEXTS_BYTES if handle.spec.takes_texts else LARGE_BYTES)
        return decode_and_run(handle, received_ns, decode, run, reply, takes_long=takes_long)

    def _decode(self, spec: ModelSpec, parts: PredictParts, call: GrpcCall) -> InferRequest:
        request = decode_predict_request(spec, parts)
        request.timeout_seconds = call.timeout_seconds
        if spec.takes_texts:
            request.text_bytes = sum([len(entry) for entry in parts.inputs])
        return request


def _run(handle: ModelHandle, received_ns: int, reply: Reply, request: InferRequest) -> Cancel | None:
    encode = partial(encode_predict_response, handle.spec, request.output_names)
    late = partial(write_late_where_large, encode)
    return start_infer(handle, request, received_ns, late, reply)


def find_model(table: ModelTable, which: pb.ModelSpec) -> ModelHandle:
    """Return the handle that a ModelSpec means. Raises NotFoundError and ModelUnavailableError."""
    return find_handle(table, which.name, *version_or_label(which))


def version_or_label(which: pb.ModelSpec) -> tuple[str | None, str | None]:
    """The version, or the label, or neither."""
    choice = which.WhichOneof("version_choice")
    if choice == "version":
        return str(which.version.value), None
    return None, which.version_label if choice == "version_label" else None


def model_spec(spec: ModelSpec, signature_name: str = "") -> pb.ModelSpec:
    """How an answer names the version that gave it; one that is no number stays unnamed."""
    answer = pb.ModelSpec(name=spec.name, signature_name=signature_name)
    number = version_number(spec.version)
    if number is not None:
        answer.version.value = number
    return answer


def cut_predict_request(message: bytes) -> PredictParts:
    """Cut a serialized PredictRequest apart. Raises InvalidRequestError."""
    view = memoryview(message)
    budget = FieldBudget()
    described: list[memoryview] = []
    inputs: list[memoryview] = []
    for number, wire_type, start, value, end in read_fields(view, budget):
        if number == _INPUTS and wire_type == LENGTH_DELIMITED:
            inputs.append(view[value:end])
        else:
            described.append(view[start:end])
    return PredictParts(parse_without_tensors(pb.PredictRequest, b"".join(described)), inputs, budget)


def decode_predict_request(spec: ModelSpec, parts: PredictParts) -> InferRequest:
    """Check the request against the model and decode its tensors; safe on any thread.

    Raises InvalidRequestError.
    """
    described = parts.described
    check_signature_name({"signature_name": described.model_spec.signature_name}, METHOD_NAME)
    arrays: dict[str, Array] = {}
    texts = FieldBudget(MAX_TEXTS + MAX_FIELDS)
    for entry in parts.inputs:
        name, tensor = _cut_entry(entry, parts.budget, texts)
        found = find_input(spec, name, arrays)
        arrays[name] = decode_tensor_proto(found, tensor)
    check_complete(spec, arrays)
    return InferRequest(arrays, find_outputs(spec, described.output_filter))


def encode_predict_response(spec: ModelSpec, names: Sequence[str], outputs: Sequence[Array]) -> list[Buffer]:
    """Encode a PredictResponse."""
    buffers: list[Buffer] = []
    for name, array in zip(names, outputs, strict=True):
        tensor = encode_tensor_proto(spec.output_by_name[name], array)
        size_bytes = sum([len(buffer) for buffer in tensor])
        key = encode_field(_KEY, name.encode())
        head = field_head(_VALUE, size_bytes)
        buffers.append(field_head(_OUTPUTS, len(key) + len(head) + size_bytes) + key + head)
        buffers += tensor
    answered = model_spec(spec, DEFAULT_SIGNATURE).SerializeToString()
    buffers.append(encode_field(_MODEL_SPEC, answered))
    return join_small(buffers)


def _cut_entry(entry: memoryview, budget: FieldBudget, texts: FieldBudget) -> tuple[str, TensorParts]:
    """Name and tensor of an entry of a map."""
    key = tensor = None
    for number, wire_type, _, value, end in read_fields(entry, budget):
        if wire_type == LENGTH_DELIMITED and number == _KEY and key is None:
            key = entry[value:end]
        elif wire_type == LENGTH_DELIMITED and number == _VALUE and tensor is None:
            tensor = entry[value:end]
        elif number in (_KEY, _VALUE):
            raise malformed("an entry of a map has two keys or values, or one of the wrong type")
    try:
        return str(key or b"", "utf-8"), cut_tensor(tensor or memoryview(b""), budget, texts)
    except UnicodeDecodeError:
        raise malformed("text is not UTF-8") from None
