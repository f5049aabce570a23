"""Short ways for infer requests that look like earlier ones; the same results as ``infer_codec``'s.

Clients send one request again and again, with other numbers in it. What two equal beginnings and ends, or two
equal headers of binary tensors, decode to need not be worked out twice: a *plan* keeps it. Where a plan does
not fit exactly, or anything at all is wrong, ``infer_codec`` decodes the request from the start.

A plan is made when the same text comes a second time, and a model's plans are few and small, so that clients
that put something new into every request cost little.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import orjson

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import (
    DecodedInfer,
    decode_infer,
    encode_infer,
    takes_long_to_encode,
)
from modelservice_runtime.protocols.oip.rest.prepared_infer import DirectInfer, Place, PreparedInfer
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer, encode_buffer
from modelservice_runtime.protocols.tensors.json_codec import decode_tensor, read_json
from modelservice_runtime.tensors import BF16, BOOL, BYTES, Array, InferRequest, TensorSpec, count_elements
from modelservice_runtime.transport.http import OCTET_STREAM, Buffer, HttpResponse

_DATA = b'"data":'
_MAX_PLANS = 64
_MAX_TEXT_BYTES = 4096
_MAX_BODY_BYTES = 64 * 1024
# A model that is slow or large at first sight mostly stays so.
_PREPARE_TRIALS = 100
_BRACKET = re.compile(rb"[\[\]]")
_ID_KEY = b'{"id"'
# An id in front, which many clients make anew for each request: printable ASCII that JSON writes as it is.
_ID = re.compile(rb'\{"id": ?"([ !#-\[\]-~]{1,256})", ?(?=")')

Plan = TypeVar("Plan")
Prepare: TypeAlias = Callable[[Mapping[str, Array], Mapping[str, Array]], PreparedRun | None]


class _Plans(Generic[Plan]):
    """Plans by the text that they are for."""

    __slots__ = ("_seen_once", "by_text")

    def __init__(self) -> None:
        self.by_text: dict[bytes, Plan] = {}
        self._seen_once: set[int] = set()

    def wants(self, text: bytes) -> bool:
        """True where ``text`` came before, so that a plan is worth its while."""
        if len(text) > _MAX_TEXT_BYTES:
            return False
        name = hash(text)
        if name in self._seen_once:
            return True
        if len(self._seen_once) >= _MAX_PLANS:
            self._seen_once.clear()
        self._seen_once.add(name)
        return False

    def add(self, text: bytes, plan: Plan) -> None:
        """Keep a plan; when there are too many the others go."""
        _make_room(self.by_text)
        self.by_text[text] = plan


class _Plan:
    """Requests like ``example``; ``prepared`` answers them once a run has shown the outputs' shapes."""

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
            elif self._trials_left == 0:
                self._give_up(spec, outputs)

    def _give_up(self, spec: ModelSpec, outputs: list[Array]) -> None:
        """Nothing could be prepared: the tensors are large, or the model slow."""


class _JsonPlan(_Plan):
    """A request of one input whose text is known before and behind its data."""

    __slots__ = ("count", "numbers", "shape", "suffix", "tensor")

    def __init__(self, tensor: TensorSpec, suffix: bytes, example: DecodedInfer) -> None:
        packable = tensor.datatype not in (BF16, BOOL)
        super().__init__(_like(example, {}), may_prepare=packable and example.is_plain)
        self.tensor = tensor
        self.shape = example.request.inputs[tensor.name].shape
        self.count = count_elements(self.shape)
        self.numbers = struct.Struct(f"<{self.count}{tensor.datatype.pack_code}") if packable else None
        self.suffix = suffix


class BinaryPlan(_Plan):
    """A request whose inputs are all binary, at known places behind a known header.

    ``direct`` decodes and encodes those for which nothing can be ``prepared``, once runs have shown that.
    """

    __slots__ = ("direct", "tensors", "total_bytes")

    def __init__(self, tensors: Sequence[Place], total_bytes: int, example: DecodedInfer) -> None:
        # The bytes of the others are looked at, or converted.
        as_sent = all(tensor.datatype not in (BYTES, BF16, BOOL) for tensor, _, _ in tensors)
        super().__init__(_like(example, {}), may_prepare=as_sent and example.is_all_binary)
        self.tensors = tensors
        self.total_bytes = total_bytes
        self.direct: DirectInfer | None = None

    def _give_up(self, spec: ModelSpec, outputs: list[Array]) -> None:
        names = self.example.request.output_names
        if not any(spec.output_by_name[name].datatype is BYTES for name in names):
            self.direct = DirectInfer(spec, self.tensors, self.example, outputs)

    def answer(
        self, body: Buffer, header_length: int, handle: ModelHandle, received_ns: int
    ) -> HttpResponse | None:
        """Run and encode in one go, once it is ``prepared``; None for what has to be done the usual way."""
        if self.prepared is None:
            return None
        binary = memoryview(body)[header_length:]
        memory = self.prepared.memory
        for tensor, _, place in self.tensors:
            memory[tensor.name][:] = binary[place]
        return self.prepared.answer(handle, received_ns)

    def decode(self, body: Buffer, header_length: int) -> DecodedInfer:
        """Decode the tensors alone. Raises InvalidRequestError."""
        binary = memoryview(body)[header_length:]
        inputs = {
            tensor.name: decode_buffer(tensor, shape, binary[place]) for tensor, shape, place in self.tensors
        }
        return _like(self.example, inputs, self)


def _prepare_nothing(_inputs: Mapping[str, Array], _outputs: Mapping[str, Array]) -> None:
    return None


class InferCodec:
    """Decodes requests to, and encodes answers of, one version of a model.

    With ``prepare`` (``Lane.prepare``) it learns to answer requests that have a plan in one go.
    """

    def __init__(self, spec: ModelSpec, prepare: Prepare = _prepare_nothing) -> None:
        self.spec = spec
        self._prepare = prepare
        self._json: _Plans[_JsonPlan] = _Plans()
        self._binary: _Plans[BinaryPlan] = _Plans()
        # Binary answers by (outputs' names, shapes): the JSON, and the HTTP headers.
        self._binary_heads: dict[Any, tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = {}

    def answer_json(self, body: Buffer, handle: ModelHandle, received_ns: int) -> HttpResponse | None:
        """Decode, run and encode in one go; None for what has to be done the usual way. Never raises."""
        if type(body) is not bytes or len(body) > _MAX_BODY_BYTES:
            return None
        request_id = None
        if body.startswith(_ID_KEY):
            request_id, body = _cut_id(body)
        start = body.find(_DATA) + len(_DATA)
        plan = self._json.by_text.get(body[:start])
        if plan is None or plan.prepared is None or plan.numbers is None or not body.endswith(plan.suffix):
            return None
        data = body[start : len(body) - len(plan.suffix)]
        try:
            values = read_json(data)
            if b"t" in data or b"f" in data or type(values) is not list:
                return None
            while len(values) == 1 and type(values[0]) is list:
                values = values[0]
            plan.numbers.pack_into(plan.prepared.memory[plan.tensor.name], 0, *values)
        except (orjson.JSONDecodeError, struct.error, OverflowError):
            return None
        return plan.prepared.answer(handle, received_ns, request_id)

    def find_binary_plan(self, body: Buffer, header_length: int) -> BinaryPlan | None:
        """What answers or decodes this body of a JSON header of that many bytes and binary tensors."""
        plan = self._binary.by_text.get(bytes(body[:header_length]))
        return plan if plan is not None and len(body) - header_length == plan.total_bytes else None

    def decode(self, body: Buffer, header_length: bytes | None) -> DecodedInfer:
        """See ``infer_codec.decode_infer``."""
        if header_length is None:
            if type(body) is bytes and len(body) <= _MAX_BODY_BYTES:
                return self._decode_json(body)
        elif len(header_length) <= 4 and header_length.isdigit() and int(header_length):
            planned = self._decode_binary(body, int(header_length))
            if planned is not None:
                return planned
        return decode_infer(self.spec, body, header_length)

    def encode(
        self, decoded: DecodedInfer, outputs: Sequence[Array]
    ) -> HttpResponse | LateAnswer[HttpResponse]:
        """See ``infer_codec.encode_infer``; a thread is to write what takes long."""
        if decoded.plan is not None:
            decoded.plan.learn(self.spec, self._prepare, decoded.request.inputs, outputs)
        if decoded.is_all_binary:
            return self._encode_binary(decoded, outputs)
        return self._encode_in_full(decoded, outputs)

    def _encode_in_full(
        self, decoded: DecodedInfer, outputs: Sequence[Array]
    ) -> HttpResponse | LateAnswer[HttpResponse]:
        if takes_long_to_encode(self.spec, decoded, outputs):
            return LateAnswer(partial(encode_infer, self.spec, decoded, outputs))
        return encode_infer(self.spec, decoded, outputs)

    def _decode_json(self, body: bytes) -> DecodedInfer:
        """Decode by a plan, or in full; then plan for the next one with the same text around its data."""
        request_id, text = _cut_id(body)
        start = text.find(_DATA) + len(_DATA)
        prefix = text[:start]
        plan = self._json.by_text.get(prefix)
        if plan is not None and text.endswith(plan.suffix):
            decoded = _decode_by_plan(plan, text[start : len(text) - len(plan.suffix)])
            if decoded is not None:
                return _with_id(decoded, request_id)
        decoded = decode_infer(self.spec, body, None)
        may_plan = plan is None and start >= len(_DATA) and len(self.spec.inputs) == 1
        if may_plan and self._json.wants(prefix):
            plan = _plan_json(self.spec, text, start)
            if plan is not None:
                self._json.add(prefix, plan)
        return decoded

    def _decode_binary(self, body: Buffer, header_length: int) -> DecodedInfer | None:
        """Decode by a plan, or in full where there should be one the next time."""
        plan = self.find_binary_plan(body, header_length)
        if plan is not None:
            return plan.decode(body, header_length)
        header = bytes(body[:header_length])
        if header in self._binary.by_text or len(header) < header_length or not self._binary.wants(header):
            return None
        decoded = decode_infer(self.spec, body, b"%d" % header_length)
        plan = _plan_binary(self.spec, decoded, header)
        if plan is not None:
            self._binary.add(header, plan)
        return decoded

    def _encode_binary(
        self, decoded: DecodedInfer, outputs: Sequence[Array]
    ) -> HttpResponse | LateAnswer[HttpResponse]:
        names = decoded.request.output_names
        key = (names, tuple([output.shape for output in outputs]))
        head = self._binary_heads.get(key)
        if head is None:
            response = self._encode_in_full(decoded, outputs)
            # The length of texts is not in their shape.
            if isinstance(response, HttpResponse) and not any(
                self.spec.output_by_name[name].datatype is BYTES for name in names
            ):
                _make_room(self._binary_heads)
                self._binary_heads[key] = (bytes(response.body[0]), response.headers)
            return response
        specs = self.spec.output_by_name
        buffers = [encode_buffer(specs[name], output) for name, output in zip(names, outputs)]  # noqa: B905
        return HttpResponse(200, [head[0], *buffers], OCTET_STREAM, head[1])


def _make_room(plans: dict[Any, Any]) -> None:
    if len(plans) >= _MAX_PLANS:
        plans.clear()


def _decode_by_plan(plan: _JsonPlan, data: bytes) -> DecodedInfer | None:
    """Decode the data alone; None where it is no JSON. Raises InvalidRequestError like ``decode_tensor``."""
    try:
        values = read_json(data)
    except orjson.JSONDecodeError:
        return None
    name = plan.tensor.name
    # A boolean counts as a number for struct; no number has a t or an f.
    if (
        plan.numbers is not None
        and type(values) is list
        and len(values) == plan.count
        and b"t" not in data
        and b"f" not in data
    ):
        try:
            packed = plan.numbers.pack(*values)
        except (struct.error, OverflowError):
            pass  # nested, or wrong: seen to below
        else:
            array: Array = np.ndarray(plan.shape, plan.tensor.datatype.numpy, packed)
            return _like(plan.example, {name: array}, plan)
    return _like(plan.example, {name: decode_tensor(plan.tensor, plan.shape, values, data)}, plan)


def _like(example: DecodedInfer, inputs: dict[str, Array], plan: _Plan | None = None) -> DecodedInfer:
    request = example.request
    return DecodedInfer(
        InferRequest(inputs, request.output_names, request.id, request.timeout_seconds, request.priority),
        example.binary_outputs,
        example.is_plain,
        example.is_all_binary,
        plan,
    )


def _cut_id(body: bytes) -> tuple[str | None, bytes]:
    """The request's id where it comes first, and the body without it."""
    found = _ID.match(body) if body.startswith(_ID_KEY) else None
    if found is None:
        return None, body
    return found.group(1).decode("ascii"), b"{" + body[found.end() :]


def _with_id(decoded: DecodedInfer, request_id: str | None) -> DecodedInfer:
    """The request with the id that was cut; another one that is left in its text came later and counts."""
    if request_id is not None and decoded.request.id is None:
        decoded.request.id = request_id
        decoded.is_plain = decoded.is_all_binary = False
    return decoded


def _plan_json(spec: ModelSpec, body: bytes, start: int) -> _JsonPlan | None:
    """Plan for bodies like ``body``, whose first "data" ends at ``start``; None where it is not the input's.

    To be sure, another value is put there: it must come out as the input's data.
    """
    tensor = spec.inputs[0]
    end = _end_of_array(body, start)
    if tensor.datatype is BYTES or end is None or len(body) - end > _MAX_TEXT_BYTES:
        return None
    try:
        document = read_json(body[:start] + b"[null]" + body[end:])
        decoded = decode_infer(spec, body, None)
    except (orjson.JSONDecodeError, InvalidRequestError):
        return None
    if document["inputs"][0].get("data") != [None]:
        return None
    return _JsonPlan(tensor, body[end:], decoded)


def _end_of_array(body: bytes, start: int) -> int | None:
    """Where the array that begins at ``start`` ends, if it holds no text with brackets."""
    depth = 0
    if not body[start:].lstrip(b" \t\r\n").startswith(b"["):
        return None
    for bracket in _BRACKET.finditer(body, start):
        depth += 1 if bracket.group() == b"[" else -1
        if depth == 0:
            return bracket.end()
    return None


def _plan_binary(spec: ModelSpec, decoded: DecodedInfer, header: bytes) -> BinaryPlan | None:
    tensors: list[Place] = []
    position = 0
    for entry in orjson.loads(header)["inputs"]:
        size_bytes = (entry.get("parameters") or {}).get("binary_data_size")
        if size_bytes is None:
            return None
        tensor = spec.input_by_name[entry["name"]]
        shape = decoded.request.inputs[tensor.name].shape
        tensors.append((tensor, shape, slice(position, position + size_bytes)))
        position += size_bytes
    return BinaryPlan(tensors, position, decoded)
