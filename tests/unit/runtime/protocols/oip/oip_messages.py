"""Builders of ModelInferRequests and a call that remembers its answers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.grpc.request import (
    bind_head,
    decode_inputs,
    parse_head,
    split_request,
)
from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.tensors import DATATYPES, InferRequest, TensorSpec
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcStatus

CONTENTS_FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents",
    "UINT32": "uint_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
    "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@dataclass
class FakeCall:
    """See `GrpcCall`."""

    timeout_seconds: float | None = None
    path: str = "/package.Service/Method"
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    received_ns: int = field(default_factory=time.perf_counter_ns)
    writable: bool = True
    on_writable: Callable[[], None] | None = None
    sent: list[bytes] = field(default_factory=list)
    finished: tuple[GrpcStatus, str] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: Buffer | Sequence[Buffer]) -> None:
        assert self.finished is None
        self.sent.append(bytes(message) if isinstance(message, Buffer) else b"".join(message))
        self.changed.set()

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        assert self.finished is None
        self.finished = (status, message)
        self.changed.set()

    async def until_finished(self) -> tuple[GrpcStatus, str]:
        async with asyncio.timeout(120):
            while self.finished is None:
                self.changed.clear()
                await self.changed.wait()
        return self.finished

    async def until_sent(self, count: int) -> None:
        async with asyncio.timeout(120):
            while len(self.sent) < count:
                self.changed.clear()
                await self.changed.wait()


def make_request(
    model: str = "m", shape: Sequence[int] = (1, 2), name: str = "x", datatype: str = "FP32", **fields: object
) -> pb.ModelInferRequest:
    """A request with one input and no data yet."""
    request = pb.ModelInferRequest(model_name=model, **fields)  # type: ignore[arg-type]
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    return request


def make_raw_request(array: np.ndarray | None = None, **fields: object) -> pb.ModelInferRequest:
    """A request with one FP32 input as raw contents."""
    data = np.ones((1, 2), np.float32) if array is None else array
    request = make_request(shape=data.shape, **fields)  # type: ignore[arg-type]
    request.raw_input_contents.append(data.tobytes())
    return request


def set_contents(tensor: pb.ModelInferRequest.InferInputTensor, array: np.ndarray) -> None:
    getattr(tensor.contents, CONTENTS_FIELDS[tensor.datatype]).extend(array.ravel().tolist())


def decode(spec: ModelSpec, request: pb.ModelInferRequest | bytes) -> InferRequest:
    """Decode a message as the service does, without the cache."""
    message = request if isinstance(request, bytes) else request.SerializeToString()
    split = split_request(message)
    head = parse_head(split.head)
    return decode_inputs(head, bind_head(head, spec), split)


def with_parameter(name: str, **value: Any) -> pb.ModelInferRequest:
    request = make_raw_request()
    setattr(request.parameters[name], *next(iter(value.items())))
    return request


def model_of(datatype: str, rank: int | None = None) -> ModelSpec:
    shape = None if rank is None else (-1,) * rank
    tensor = DATATYPES[datatype]
    return ModelSpec("m", "1", (TensorSpec("x", tensor, shape),), (TensorSpec("y", tensor, shape),))
