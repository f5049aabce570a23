"""Short ways for infer requests that look like earlier ones: by plans, which the requests themselves bring.

A plan is made when the same text comes a second time, and a model's plans are few and small, so that clients
that put something new into every request cost little.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import (
    DecodedInfer,
    decode_infer,
    encode_infer,
    takes_long_to_encode,
)
from modelservice_runtime.protocols.oip.rest.infer_plans import (
    MAX_TEXT_BYTES,
    BinaryPlan,
    JsonPlan,
    Prepare,
    plan_binary,
    plan_json,
)
from modelservice_runtime.protocols.oip.rest.known_answer import KnownAnswer
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import Buffer, HttpResponse

_DATA = b'"data":'
_MAX_PLANS = 64
# Larger arrays are parsed faster without a plan.
_MAX_BODY_BYTES = 32 * 1024
_ID_KEY = b'{"id"'
# An id in front, which many clients make anew for each request: printable ASCII that JSON writes as it is.
_ID = re.compile(rb'\{"id": ?"([ !#-\[\]-~]{1,256})", ?(?=")')

Plan = TypeVar("Plan")


class _Plans(Generic[Plan]):
    """Plans by the text that they are for."""

    __slots__ = ("_seen_once", "by_text")

    def __init__(self) -> None:
        self.by_text: dict[bytes, Plan] = {}
        self._seen_once: set[int] = set()

    def wants(self, text: bytes) -> bool:
        """True where `text` came before, so that a plan is worth its while."""
        if len(text) > MAX_TEXT_BYTES:
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


def _prepare_nothing(_inputs: Mapping[str, Array], _outputs: Mapping[str, Array]) -> None:
    return None


class InferCodec:
    """Decodes requests to, and encodes answers of, one version of a model.

    With `prepare` (`Lane.prepare`) it learns to answer requests that have a plan in one go.
    """

    def __init__(self, spec: ModelSpec, prepare: Prepare = _prepare_nothing) -> None:
        self.spec = spec
        self._prepare = prepare
        self._json: _Plans[JsonPlan] = _Plans()
        self._binary: _Plans[BinaryPlan] = _Plans()
        self._answers: dict[Any, KnownAnswer] = {}

    def answer(
        self, body: Buffer, header_length: int, handle: ModelHandle, received_ns: int
    ) -> HttpResponse | DecodedInfer | None:
        """Decode, run and encode in one go, or decode by a plan; None where no plan fits.

        `header_length` is that of the JSON in front of binary tensors, 0 without any. Raises
        InvalidRequestError.
        """
        if header_length:
            plan = self._find_binary_plan(body, header_length)
            if plan is None or self.spec.takes_texts:  # a thread decodes many of those
                return None
            content = memoryview(body)
            return plan.answer(content, handle, received_ns) or plan.decode(content)
        if type(body) is not bytes or len(body) > _MAX_BODY_BYTES:
            return None
        request_id, text = _cut_id(body)
        known, data = self._find_json_plan(text)
        numbers = None if known is None else known.pack(data)
        if known is None or numbers is None:
            return None
        response = known.answer(numbers, handle, received_ns, request_id)
        return response or _with_id(known.decode(numbers), request_id)

    def decode(self, body: Buffer, header_length: bytes | None) -> DecodedInfer:
        """See `infer_codec.decode_infer`."""
        if header_length is None:
            if type(body) is bytes and len(body) <= _MAX_BODY_BYTES:
                return self._decode_json(body)
        elif is_short_length(header_length):
            planned = self._decode_binary(body, int(header_length))
            if planned is not None:
                return planned
        return decode_infer(self.spec, body, header_length)

    def encode(
        self, decoded: DecodedInfer, outputs: Sequence[Array]
    ) -> HttpResponse | LateAnswer[HttpResponse]:
        """See `infer_codec.encode_infer`; a thread is to write what takes long."""
        if decoded.plan is not None:
            decoded.plan.learn(self.spec, self._prepare, decoded.request.inputs, outputs)
        is_all_binary = decoded.is_all_binary
        shapes = tuple([array.shape for array in outputs])
        key = (is_all_binary, decoded.is_plain, decoded.request.output_names, shapes)
        known = self._answers.get(key)
        if known is None:
            is_unknown = not KnownAnswer.suits(self.spec, decoded)
            if is_unknown or takes_long_to_encode(self.spec, decoded, outputs):
                return self._encode_in_full(decoded, outputs)
            _make_room(self._answers)
            known = self._answers[key] = KnownAnswer(self.spec, decoded, outputs)
        if not is_all_binary:
            outputs = [array.reshape(-1) for array in outputs]
        return known.encode(outputs, decoded.request.id)

    def _encode_in_full(
        self, decoded: DecodedInfer, outputs: Sequence[Array]
    ) -> HttpResponse | LateAnswer[HttpResponse]:
        if takes_long_to_encode(self.spec, decoded, outputs):
            return LateAnswer(partial(encode_infer, self.spec, decoded, outputs))
        return encode_infer(self.spec, decoded, outputs)

    def _decode_json(self, body: bytes) -> DecodedInfer:
        """Decode by a plan, or in full; then plan for the next one with the same text around its data."""
        request_id, text = _cut_id(body)
        plan, data = self._find_json_plan(text)
        numbers = None if plan is None else plan.pack(data)
        if plan is not None and numbers is not None:
            return _with_id(plan.decode(numbers), request_id)
        decoded = decode_infer(self.spec, body, None)
        self._plan_json(text)
        return decoded

    def _find_json_plan(self, text: bytes) -> tuple[JsonPlan | None, bytes]:
        """The plan for the text around an input's data, and that data."""
        start = text.find(_DATA) + len(_DATA)
        plan = self._json.by_text.get(text[:start])
        if plan is None or not text.endswith(plan.suffix):
            return None, b""
        return plan, text[start : len(text) - len(plan.suffix)]

    def _plan_json(self, text: bytes) -> None:
        start = text.find(_DATA) + len(_DATA)
        prefix = text[:start]
        may_plan = start >= len(_DATA) and prefix not in self._json.by_text and len(self.spec.inputs) == 1
        if may_plan and self._json.wants(prefix):
            plan = plan_json(self.spec, text, start)
            if plan is not None:
                self._json.add(prefix, plan)

    def _find_binary_plan(self, body: Buffer, header_length: int) -> BinaryPlan | None:
        plan = self._binary.by_text.get(bytes(body[:header_length]))
        return plan if plan is not None and len(body) - header_length == plan.total_bytes else None

    def _decode_binary(self, body: Buffer, header_length: int) -> DecodedInfer | None:
        """Decode by a plan, or in full where there should be one the next time."""
        plan = self._find_binary_plan(body, header_length)
        if plan is not None:
            return plan.decode(memoryview(body))
        header = bytes(body[:header_length])
        if header in self._binary.by_text or len(header) < header_length or not self._binary.wants(header):
            return None
        decoded = decode_infer(self.spec, body, b"%d" % header_length)
        plan = plan_binary(self.spec, decoded, header)
        if plan is not None:
            self._binary.add(header, plan)
        return decoded


def is_short_length(header_length: bytes) -> bool:
    """Whether a length of JSON in front of binary tensors is one that a plan may be for."""
    return len(header_length) <= 4 and header_length.isdigit() and int(header_length) > 0


def _make_room(plans: dict[Any, Any]) -> None:
    if len(plans) >= _MAX_PLANS:
        plans.clear()


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
        decoded.is_all_binary = False
    return decoded
