"""A call with one request for a model: runs it, answers, and stops it when the client leaves."""

import logging
from collections.abc import Callable
from typing import TypeAlias

from modelservice_runtime.errors import ServingError, internal_error
from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.grpc.unary import UnaryHandler
from modelservice_runtime.protocols.inference import InferCall, infer_inline
from modelservice_runtime.tensors import Array, InferRequest
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcStatus, grpc_error

log = logging.getLogger(__name__)

Reply: TypeAlias = Callable[[list[Buffer] | ServingError], None]
Encode: TypeAlias = Callable[[list[Array]], list[Buffer] | LateAnswer[list[Buffer]]]
Cancel: TypeAlias = Callable[[], None]

# Runs a request message; returns what cancels it, or None when it was answered already. The reply gets the
# buffers of the answer's message, or an error; ServingErrors may also be raised.
Start: TypeAlias = Callable[[bytes, GrpcCall, Reply], Cancel | None]


def infer_service(start: Start) -> Service:
    """A service that gives its only request to `start`."""

    def service(call: GrpcCall) -> CallHandler:
        return _InferHandler(call, start)

    return service


def start_infer(
    handle: ModelHandle, request: InferRequest, received_ns: int, encode: Encode, reply: Reply
) -> Cancel | None:
    """Run a decoded request as `Start` does. Raises ServingError, uncounted."""
    answer = infer_inline(handle, request, received_ns, encode)
    if isinstance(answer, list):
        reply(answer)
        return None
    call = InferCall(handle, received_ns, encode, reply)
    call.go_on(request, answer)
    return call.cancel


class _InferHandler(UnaryHandler):
    __slots__ = ("_cancel", "_start")

    def __init__(self, call: GrpcCall, start: Start) -> None:
        super().__init__(call)
        self._start = start
        self._cancel: Cancel | None = None

    def handle(self, message: bytes) -> None:
        self._cancel = self._start(message, self.call, self._reply)

    def on_cancel(self) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _reply(self, answer: list[Buffer] | ServingError) -> None:
        self._cancel = None
        if isinstance(answer, ServingError):
            error = grpc_error(answer)
            self.call.finish(error.status, error.message)
            return
        try:
            self.call.send(answer[0] if len(answer) == 1 else answer)
        except Exception:  # the last boundary: the call ends, whatever became of its answer
            log.exception("internal error", extra={"path": self.call.path})
            self.call.finish(GrpcStatus.INTERNAL, str(internal_error()))
        else:
            self.call.finish()
