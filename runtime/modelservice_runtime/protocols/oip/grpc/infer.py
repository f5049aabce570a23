"""ModelInfer and ModelStreamInfer: from bytes to a model's lane and back."""

import logging
from collections import deque
from functools import partial

from modelservice_runtime.errors import ServingError, internal_error
from modelservice_runtime.execution.offload import write_late_where_large
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.decoding import decode_on_a_thread
from modelservice_runtime.protocols.grpc.infer_handler import Cancel, Encode, Reply, start_infer
from modelservice_runtime.protocols.inference import record_failure
from modelservice_runtime.protocols.oip.grpc.request import (
    BoundHead,
    HeadCache,
    InferHead,
    SplitRequest,
    bind_head,
    contents_bytes,
    decode_inputs,
    find_request_id,
    takes_long,
)
from modelservice_runtime.protocols.oip.grpc.response import (
    encode_response,
    encode_stream_error,
    encode_stream_response,
    encode_typed_response,
)
from modelservice_runtime.protocols.rest.deadline import shorter
from modelservice_runtime.tensors import InferRequest
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcStatus

log = logging.getLogger(__name__)


class OipInference:
    """Runs ModelInferRequests over one model table."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._heads = HeadCache()

    def start(self, message: bytes, call: GrpcCall, reply: Reply) -> Cancel | None:
        """See `Start`; the answer is an encoded ModelInferResponse."""
        head, split = self.open(message)
        return self.run(head, split, call, reply)

    def open(self, message: bytes) -> tuple[InferHead, SplitRequest]:
        """Cut a request apart. Raises ServingError."""
        return self._heads.open(message)

    def run(self, head: InferHead, split: SplitRequest, call: GrpcCall, reply: Reply) -> Cancel | None:
        """Run a request that is cut apart; returns and raises as `start` does."""
        received_ns = call.received_ns
        handle = self._table.find(head.model_name, head.model_version or None)
        handle.statistics.arrivals["oip-grpc"] += 1
        try:
            bound = bind_head(head, handle.spec)
            write = partial(encode_typed_response if head.typed_outputs else encode_response, bound, split.id)
            encode: Encode = write
            if head.typed_outputs or bound.gives_texts:
                encode = partial(write_late_where_large, write)
            if (head.has_contents or handle.spec.takes_texts) and takes_long(head, bound, split):
                return decode_on_a_thread(
                    handle,
                    received_ns,
                    partial(_decode_large, head, bound, split, call),
                    lambda request: start_infer(handle, request, received_ns, encode, reply),
                    reply,
                )
            return start_infer(handle, _decode(head, bound, split, call), received_ns, encode, reply)
        except Exception as error:  # noqa: BLE001 - counted, and told
            raise record_failure(handle, received_ns, error) from error.__cause__


def _decode(head: InferHead, bound: BoundHead, split: SplitRequest, call: GrpcCall) -> InferRequest:
    request = decode_inputs(head, bound, split)
    request.timeout_seconds = shorter(head.timeout_seconds, call.timeout_seconds)
    return request


def _decode_large(head: InferHead, bound: BoundHead, split: SplitRequest, call: GrpcCall) -> InferRequest:
    request = _decode(head, bound, split, call)
    if bound.spec.takes_texts:
        request.text_bytes = contents_bytes(head, split)
    return request


def stream_infer_service(inference: OipInference, streams: OpenStreams) -> Service:
    """ModelStreamInfer: the answers come in the order of the requests, and an error ends no stream."""

    def service(call: GrpcCall) -> CallHandler:
        return _StreamHandler(call, inference, streams)

    return service


class _Slot:
    """One request of a stream, and its answer when it is there."""

    __slots__ = ("answer", "cancel", "id")

    def __init__(self) -> None:
        self.id = b""
        self.answer: list[Buffer] | None = None
        self.cancel: Cancel | None = None


class _StreamHandler:
    def __init__(self, call: GrpcCall, inference: OipInference, streams: OpenStreams) -> None:
        self._call = call
        self._inference = inference
        self._slots: deque[_Slot] = deque()
        self._end: tuple[GrpcStatus, str] | None = None
        streams.add(self)

    def on_message(self, message: bytes) -> None:
        slot = _Slot()
        self._slots.append(slot)
        reply = partial(self._reply, slot)
        try:
            head, split = self._inference.open(message)
            slot.id = split.id
            slot.cancel = self._inference.run(head, split, self._call, reply)
        except ServingError as error:
            slot.id = slot.id or find_request_id(message)
            reply(error)

    def on_end(self) -> None:
        self.end_when_idle(GrpcStatus.OK, "")

    def on_cancel(self) -> None:
        while self._slots:
            slot = self._slots.popleft()
            if slot.cancel is not None and slot.answer is None:
                slot.cancel()

    def end_when_idle(self, status: GrpcStatus, message: str) -> None:
        """See `Endable`."""
        if self._end is None:
            self._end = (status, message)
        self._flush()

    def _reply(self, slot: _Slot, answer: list[Buffer] | ServingError) -> None:
        if isinstance(answer, ServingError):
            slot.answer = [encode_stream_error(slot.id, str(answer))]
        else:
            slot.answer = encode_stream_response(answer)
        self._flush()

    def _flush(self) -> None:
        while self._slots and self._slots[0].answer is not None:
            answer = self._slots.popleft().answer or ()
            try:
                self._call.send(answer)
            except Exception:  # the last boundary: without one of its answers the stream cannot go on
                log.exception("internal error", extra={"path": self._call.path})
                self._call.finish(GrpcStatus.INTERNAL, str(internal_error()))
                self.on_cancel()
                return
        if not self._slots and self._end is not None:
            self._call.finish(*self._end)
