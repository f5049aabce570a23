"""ModelInferRequest to `InferRequest`; pure.

Clients repeat themselves: from one request to the next only the tensors and perhaps the id change. So a
message is cut into its head, its id and its raw contents, and a head seen before is neither parsed nor
checked again.
Sources: Open Inference Protocol, `inference_grpc.md`; Triton, `grpc_service.proto`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.execution.offload import LARGE_BYTES
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.grpc.contents import check_typed_outputs, decode_contents
from modelservice_runtime.protocols.parameters import (
    flag_parameter,
    priority_parameter,
    refuse_output_extensions,
    refuse_shared_memory,
    timeout_parameter,
)
from modelservice_runtime.protocols.signature import (
    check_complete,
    find_input,
    find_outputs,
)
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    LENGTH_DELIMITED,
    MAX_FIELDS,
    FieldBudget,
    encode_field,
    field_head,
    malformed,
    parse_without_tensors,
    read_field,
    read_fields,
    too_many_fields,
)
from modelservice_runtime.protocols.tensors.typed_values import LARGE_TEXTS_BYTES
from modelservice_runtime.protos import inference_pb2
from modelservice_runtime.tensors import (
    BYTES,
    Array,
    InferRequest,
    TensorSpec,
    check_datatype,
    fit_shape,
    parse_shape,
)

_CACHED_HEAD_BYTES = 2048
_CACHED_HEADS = 1024

_ID, _INPUTS, _RAW_INPUT_CONTENTS = 3, 5, 7
_INPUT_CONTENTS = 5


@dataclass(slots=True)
class SplitRequest:
    """A ModelInferRequest cut apart: `head` is a message without the id and the raw contents.

    `raw_start` is where the only raw contents begin if they end the message, as they usually do; else 0.
    """

    head: bytes
    id: bytes
    raw: list[memoryview]
    raw_start: int


@dataclass(slots=True)
class InputHead:
    """An input as the client describes it; `contents` are the bytes of its typed contents, if any."""

    name: str
    datatype: str
    shape: list[int]
    contents: list[memoryview]


@dataclass(slots=True)
class BoundHead:
    """A head that was checked against a model; the prefixes begin the answer and each of its outputs."""

    spec: ModelSpec
    inputs: list[tuple[TensorSpec, list[int]]]
    output_names: Sequence[str]
    outputs: list[TensorSpec]
    response_prefix: bytes
    output_prefixes: list[bytes]
    gives_texts: bool
    # What answers of these shapes have around their contents; see `response`.
    frames: dict[tuple[tuple[int, ...], ...], list[bytes]] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class InferHead:
    """A parsed head. `typed_outputs`: the client wants typed contents, which Triton never sends."""

    model_name: str
    model_version: str
    inputs: list[InputHead]
    output_names: list[str]
    typed_outputs: bool
    timeout_seconds: float | None
    priority: int
    has_contents: bool
    bound: BoundHead | None = field(default=None, repr=False)


def split_request(message: bytes) -> SplitRequest:
    """Cut a message apart without copying tensors. Raises InvalidRequestError."""
    try:
        return _split(message)
    except IndexError:
        raise malformed() from None


def find_request_id(message: bytes) -> bytes:
    """The id of a request that may be wrong in any other way; empty where it has none."""
    try:
        return split_request(message).id
    except InvalidRequestError:
        return b""


def _split(message: bytes) -> SplitRequest:
    view = memoryview(message)
    raw: list[memoryview] = []
    kept: list[memoryview] = []
    request_id = b""
    position = kept_from = raw_start = 0
    end = len(message)
    for _ in range(MAX_FIELDS):
        if position >= end:
            break
        start = position
        tag = message[start]
        if tag & 0x87 == LENGTH_DELIMITED and message[start + 1] < 0x80:  # nearly all of a small request
            number, value = tag >> 3, start + 2
            position = value + message[start + 1]
        else:
            number, value, position = _read_any_field(message, start)
        if number == _RAW_INPUT_CONTENTS:
            raw.append(view[value:position])
            raw_start = value
        elif number == _ID:
            request_id = check_text(message[value:position])
        else:
            continue
        if kept_from != start:
            kept.append(view[kept_from:start])
        kept_from = position
    if position != end:
        raise malformed() if position > end else too_many_fields()
    kept.append(view[kept_from:])
    head = message if kept_from == 0 else b"".join(kept)
    is_last = len(raw) == 1 and raw_start + len(raw[0]) == end
    return SplitRequest(head, request_id, raw, raw_start if is_last else 0)


def _read_any_field(message: bytes, start: int) -> tuple[int, int, int]:
    number, wire_type, _, value, end = read_field(message, start)
    if number in (_ID, _RAW_INPUT_CONTENTS) and wire_type != LENGTH_DELIMITED:
        raise malformed("a field has the wrong type")
    return number, value, end


def check_text(content: bytes) -> bytes:
    """Raise InvalidRequestError where a string is not UTF-8: the answer would repeat it."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("text is not UTF-8") from None
    return content


class HeadCache:
    """Heads by their bytes; those with tensors in them, or unusually long ones, are parsed each time.

    Most messages are one head, without an id, and one tensor. Of those everything before the tensor is kept
    too: a message of the same length that begins the same is cut at the same place.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, InferHead] = {}
        self._beginnings: dict[bytes, InferHead] = {}
        self._raw_starts: dict[int, int] = {}

    def open(self, message: bytes) -> tuple[InferHead, SplitRequest]:
        """Cut a message apart and parse its head.

        Raises InvalidRequestError and UnsupportedOperationError.
        """
        start = self._raw_starts.get(len(message))
        if start is not None:
            beginning = message[:start]
            known = self._beginnings.get(beginning)
            if known is not None:
                return known, SplitRequest(beginning, b"", [memoryview(message)[start:]], start)
        split = split_request(message)
        head = self.parse(split.head)
        if split.raw_start and not split.id and split.head in self._heads:
            if len(self._beginnings) >= _CACHED_HEADS:
                self._beginnings.clear()
                self._raw_starts.clear()
            self._raw_starts[len(message)] = split.raw_start
            self._beginnings[message[: split.raw_start]] = head
        return head, split

    def parse(self, head: bytes) -> InferHead:
        """Return the parsed head. Raises InvalidRequestError and UnsupportedOperationError."""
        known = self._heads.get(head) if len(head) <= _CACHED_HEAD_BYTES else None
        if known is not None:
            return known
        parsed = parse_head(head)
        if len(head) <= _CACHED_HEAD_BYTES and not parsed.has_contents:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()  # somebody sends a new one each time; start over
            self._heads[head] = parsed
        return parsed


def parse_head(head: bytes) -> InferHead:
    """Parse a head. Raises InvalidRequestError and UnsupportedOperationError."""
    small, contents = _cut_contents(head)
    message = parse_without_tensors(inference_pb2.ModelInferRequest, small)
    parameters = read_parameters(message.parameters)
    for tensor in message.inputs:
        refuse_shared_memory(tensor.parameters)
    return InferHead(
        message.model_name,
        message.model_version,
        [
            InputHead(tensor.name, tensor.datatype, list(tensor.shape), chunks)
            for tensor, chunks in zip(message.inputs, contents, strict=True)
        ],
        [output.name for output in message.outputs],
        _wants_typed_outputs(message.outputs, parameters),
        timeout_parameter(parameters),
        priority_parameter(parameters),
        any(contents),
    )


def bind_head(head: InferHead, spec: ModelSpec) -> BoundHead:
    """Check names, datatypes, shapes and requested outputs, once for a model. Raises InvalidRequestError."""
    if head.bound is None or head.bound.spec is not spec:
        head.bound = _bind(head, spec)
    return head.bound


def takes_long(head: InferHead, bound: BoundHead, split: SplitRequest) -> bool:
    """Whether decoding the tensors would keep the event loop for more than some milliseconds.

    Numbers as raw contents never do: they are not even copied.
    """
    if bound.spec.takes_texts:
        return contents_bytes(head, split) >= LARGE_TEXTS_BYTES
    return head.has_contents and contents_bytes(head, split) >= LARGE_BYTES


def contents_bytes(head: InferHead, split: SplitRequest) -> int:
    """The size of all inputs' contents, typed and raw."""
    typed = sum([len(piece) for tensor in head.inputs for piece in tensor.contents])
    return typed + sum([len(buffer) for buffer in split.raw])


def decode_inputs(head: InferHead, bound: BoundHead, split: SplitRequest) -> InferRequest:
    """Decode the tensors; safe on any thread. Raises InvalidRequestError."""
    arrays: dict[str, Array] = {}
    if split.raw:
        if head.has_contents:
            raise InvalidRequestError("the request has both 'raw_input_contents' and 'contents'; send either")
        if len(split.raw) != len(bound.inputs):
            raise InvalidRequestError(
                f"the request has {len(split.raw)} raw_input_contents for {len(bound.inputs)} inputs"
            )
        for (tensor, shape), buffer in zip(bound.inputs, split.raw, strict=True):
            arrays[tensor.name] = decode_buffer(tensor, shape, buffer)
    else:
        for (tensor, shape), described in zip(bound.inputs, head.inputs, strict=True):
            arrays[tensor.name] = decode_contents(tensor, shape, described.contents)
    return InferRequest(arrays, bound.output_names, None, head.timeout_seconds, head.priority)


def read_parameters(parameters: Mapping[str, inference_pb2.InferParameter]) -> dict[str, object]:
    """A map of InferParameters as plain values; those without a value are left out."""
    plain: dict[str, object] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None:
            plain[name] = getattr(parameter, choice)
    return plain


def _cut_contents(head: bytes) -> tuple[bytes, list[list[memoryview]]]:
    """Take the typed contents out of the inputs: the head without them, and those of each input."""
    view = memoryview(head)
    budget = FieldBudget()
    pieces: list[bytes | memoryview] = []
    contents: list[list[memoryview]] = []
    for number, wire_type, start, value, end in read_fields(view, budget):
        if number != _INPUTS or wire_type != LENGTH_DELIMITED:
            pieces.append(view[start:end])
            continue
        tensor = view[value:end]
        described: list[memoryview] = []
        cut: list[memoryview] = []
        for inner, inner_type, inner_start, inner_value, inner_end in read_fields(tensor, budget):
            if inner == _INPUT_CONTENTS and inner_type == LENGTH_DELIMITED:
                if inner_value < inner_end:
                    cut.append(tensor[inner_value:inner_end])
            else:
                described.append(tensor[inner_start:inner_end])
        joined = b"".join(described)
        pieces += (field_head(_INPUTS, len(joined)), joined)
        contents.append(cut)
    return b"".join(pieces), contents


def _wants_typed_outputs(
    outputs: Iterable[inference_pb2.ModelInferRequest.InferRequestedOutputTensor],
    parameters: Mapping[str, object],
) -> bool:
    """Raw contents are all or none: typed ones are sent where no output is wanted as binary data."""
    default = flag_parameter(parameters, "binary_data_output", True)
    binary = []
    for output in outputs:
        own = read_parameters(output.parameters)
        refuse_output_extensions(own)
        binary.append(flag_parameter(own, "binary_data", default))
    return not (any(binary) if binary else default)


def _bind(head: InferHead, spec: ModelSpec) -> BoundHead:
    inputs: dict[str, tuple[TensorSpec, list[int]]] = {}
    for described in head.inputs:
        tensor = find_input(spec, described.name, inputs)
        check_datatype(tensor, described.datatype)
        inputs[tensor.name] = (tensor, fit_shape(tensor, parse_shape(described.shape, tensor.name)))
    check_complete(spec, inputs)
    names = find_outputs(spec, head.output_names)
    outputs = [spec.output_by_name[name] for name in names]
    if head.typed_outputs:
        check_typed_outputs(outputs)
    return BoundHead(
        spec,
        list(inputs.values()),
        names,
        outputs,
        encode_field(1, spec.name.encode()) + encode_field(2, spec.version.encode()),
        [encode_field(1, out.name.encode()) + encode_field(2, out.datatype.name.encode()) for out in outputs],
        any(tensor.datatype is BYTES for tensor in outputs),
    )
