"""What requests that look like earlier ones decode to; the same as `infer_codec` makes of them.

Clients send one request again and again, with other numbers in it. What two equal beginnings and ends, or two
equal headers of binary tensors, decode to need not be worked out twice: a *plan* keeps it. Where a plan does
not fit exactly, or anything at all is wrong, `infer_codec` decodes the request from the start.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import orjson

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, decode_infer
from modelservice_runtime.protocols.oip.rest.prepared_infer import PreparedInfer
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer
from modelservice_runtime.protocols.tensors.json_codec import flatten, read_json
from modelservice_runtime.tensors import BF16, BOOL, BYTES, Array, InferRequest, TensorSpec, count_elements
from modelservice_runtime.transport.http import HttpResponse

MAX_TEXT_BYTES = 4096
# A model that is slow or large at first sight mostly stays so.
_PREPARE_TRIALS = 100
_BRACKET = re.compile(rb"[\[\]]")

# An input, its shape, and where its bytes are in a binary request.
_Place: TypeAlias = tuple[TensorSpec, tuple[int, ...], slice]
Prepare: TypeAlias = Callable[[Mapping[str, Array], Mapping[str, Array]], PreparedRun | None]


class _Plan:
    """Requests like `example`; `prepared` answers them once a run has shown the outputs' shapes."""

    __slots__ = ("_trials_left", "example", "prepared")

    def __init__(self, example: DecodedInfer, *, may_prepare: bool) -> None:
        self.example = example
        self.prepared: PreparedInfer | None = None
        self._trials_left = _PREPARE_TRIALS if may_prepare else 0

    def learn(
        self, spec: ModelSpec, prepare: Prepare, inputs: Mapping[str, Array], outputs: list[Array]
    ) -> None:
        """Prepare for the next request, after one that was run the usual way."""
        if self.prepared is not None:
            if not self.prepared.fits(outputs):  # the data decides about the shapes
                self.prepared = None
                self._trials_left = 0
        elif self._trials_left:
            self._trials_left -= 1
            run = prepare(inputs, dict(zip(self.example.request.output_names, outputs, strict=True)))
            if run is not None:
                self.prepared = PreparedInfer(spec, self.example, run)


class JsonPlan(_Plan):
    """A request of one input of numbers whose text is known before and behind its data."""

    __slots__ = ("_shape", "_struct", "_tensor", "suffix")

    def __init__(self, tensor: TensorSpec, suffix: bytes, example: DecodedInfer) -> None:
        super().__init__(_like(example, {}), may_prepare=example.is_plain)
        self._tensor = tensor
        self._shape = example.request.inputs[tensor.name].shape
        self._struct = struct.Struct(f"<{count_elements(self._shape)}{tensor.datatype.pack_code}")
        self.suffix = suffix

    def answer(
        self, numbers: bytes, handle: ModelHandle, received_ns: int, request_id: str | None
    ) -> HttpResponse | None:
        """Run and encode in one go, once it is `prepared`; None for what has to be done the usual way."""
        if self.prepared is None:
            return None
        self.prepared.memory[self._tensor.name][:] = numbers
        return self.prepared.answer(handle, received_ns, request_id)

    def pack(self, data: bytes) -> bytes | None:
        """The input's memory for a text of JSON; None where that is anything but the right numbers."""
        # A boolean counts as a number for struct; no number has a t or an f.
        if b"t" in data or b"f" in data:
            return None
        try:
            values = read_json(data)
            if type(values) is not list or (values and type(values[0]) is list):
                values = flatten(self._tensor, values)
            return self._struct.pack(*values)
        except (orjson.JSONDecodeError, InvalidRequestError, struct.error, OverflowError):
            return None

    def decode(self, numbers: bytes) -> DecodedInfer:
        """The request with what `pack` gave."""
        array: Array = np.ndarray(self._shape, self._tensor.datatype.numpy, numbers)
        return _like(self.example, {self._tensor.name: array}, self)


class BinaryPlan(_Plan):
    """A request whose inputs are all binary, at known places behind a known header."""

    __slots__ = ("_places", "total_bytes")

    def __init__(self, places: Sequence[_Place], total_bytes: int, example: DecodedInfer) -> None:
        # The bytes of the others are looked at, or converted.
        as_sent = all(tensor.datatype not in (BYTES, BF16, BOOL) for tensor, _, _ in places)
        super().__init__(_like(example, {}), may_prepare=as_sent and example.is_all_binary)
        self._places = places
        self.total_bytes = total_bytes

    def answer(self, body: memoryview, handle: ModelHandle, received_ns: int) -> HttpResponse | None:
        """Run and encode in one go, once it is `prepared`; None for what has to be done the usual way."""
        if self.prepared is None:
            return None
        memory = self.prepared.memory
        for tensor, _, place in self._places:
            memory[tensor.name][:] = body[place]
        return self.prepared.answer(handle, received_ns)

    def decode(self, body: memoryview) -> DecodedInfer:
        """Decode the tensors alone. Raises InvalidRequestError."""
        inputs: dict[str, Array] = {}
        for tensor, shape, place in self._places:
            inputs[tensor.name] = decode_buffer(tensor, shape, body[place])
        return _like(self.example, inputs, self)


def plan_json(spec: ModelSpec, body: bytes, start: int) -> JsonPlan | None:
    """Plan for bodies like `body`, whose first "data" ends at `start`; None where it is not the input's.

    To be sure, another value is put there: it must come out as the input's data.
    """
    tensor = spec.inputs[0]
    end = _end_of_array(body, start)
    if tensor.datatype in (BF16, BOOL, BYTES) or end is None or len(body) - end > MAX_TEXT_BYTES:
        return None
    try:
        document = read_json(body[:start] + b"[null]" + body[end:])
        decoded = decode_infer(spec, body, None)
    except (orjson.JSONDecodeError, InvalidRequestError):
        return None
    if document["inputs"][0].get("data") != [None]:
        return None
    return JsonPlan(tensor, body[end:], decoded)


def _end_of_array(body: bytes, start: int) -> int | None:
    """Where the array that begins at `start` ends, if it holds no text with brackets."""
    depth = 0
    if not body[start:].lstrip(b" \t\r\n").startswith(b"["):
        return None
    for bracket in _BRACKET.finditer(body, start):
        depth += 1 if bracket.group() == b"[" else -1
        if depth == 0:
            return bracket.end()
    return None


def plan_binary(spec: ModelSpec, decoded: DecodedInfer, header: bytes) -> BinaryPlan | None:
    """Plan for bodies with this JSON in front of their tensors; None where not all are binary."""
    tensors: list[_Place] = []
    position = len(header)
    for entry in orjson.loads(header)["inputs"]:
        size_bytes = (entry.get("parameters") or {}).get("binary_data_size")
        if size_bytes is None:
            return None
        tensor = spec.input_by_name[entry["name"]]
        shape = decoded.request.inputs[tensor.name].shape
        tensors.append((tensor, shape, slice(position, position + size_bytes)))
        position += size_bytes
    return BinaryPlan(tensors, position - len(header), decoded)


def _like(example: DecodedInfer, inputs: dict[str, Array], plan: _Plan | None = None) -> DecodedInfer:
    request = example.request
    return DecodedInfer(
        InferRequest(inputs, request.output_names, request.id, request.timeout_seconds, request.priority),
        example.binary_outputs,
        example.is_plain,
        example.is_all_binary,
        plan,
    )
