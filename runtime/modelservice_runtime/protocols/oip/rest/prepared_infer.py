"""Infer requests that need nothing but the model: numbers into its memory, run, numbers out of it.

For requests that a plan fits (``infer_plans``), to a model that runs on the event loop. The answer is the one
that ``infer_codec`` would make of the same outputs.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import orjson

from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer, encode_infer
from modelservice_runtime.protocols.tensors.binary_codec import encode_buffer
from modelservice_runtime.protocols.tensors.json_codec import write_json
from modelservice_runtime.tensors import Array, InferRequest, TensorSpec
from modelservice_runtime.transport.http import OCTET_STREAM, Buffer, HttpResponse

# An input, its shape, and where its bytes are behind a binary request's JSON.
Place: TypeAlias = tuple[TensorSpec, tuple[int, ...], slice]

_DATA = b'"data":'
_OUTPUTS = b',"outputs":'


class PreparedInfer:
    """What writes to ``memory``, the bytes of each input by its name, and then calls ``answer``.

    ``run`` gives the outputs that ``example`` asks for, in that order: all as JSON, or all as binary data.
    """

    __slots__ = ("_binary", "_elements", "_end", "_example", "_headers", "_parts", "_run", "_spec", "memory")

    def __init__(self, spec: ModelSpec, example: DecodedInfer, run: PreparedRun) -> None:
        self._spec = spec
        self._example = example
        self._run = run
        self._elements = sum(array.size for array in run.inputs.values())
        self.memory = {name: _bytes_of(array) for name, array in run.inputs.items()}
        if example.is_all_binary:
            response = encode_infer(spec, example, run.outputs)
            self._headers = response.headers
            self._binary: list[Buffer] = [bytes(response.body[0]), *map(_bytes_of, run.outputs)]
        else:
            *texts, self._end = _texts_around_data(spec, example, run)
            self._parts = [(text, array.reshape(-1)) for text, array in zip(texts, run.outputs, strict=True)]

    def answer(
        self, handle: ModelHandle, received_ns: int, request_id: str | None = None
    ) -> HttpResponse | None:
        """Run the model on what is in ``memory``; None where it has to be done the usual way.

        ``request_id`` is repeated in JSON; it holds nothing that JSON escapes.
        """
        ran = handle.lane.run_prepared(self._run, self._elements)
        if ran is None:
            return None
        response = self._encode_binary() if self._example.is_all_binary else self._encode_json(request_id)
        handle.statistics.record_inline(received_ns, ran[0], ran[1], time.perf_counter_ns())
        return response

    def fits(self, outputs: Sequence[Array]) -> bool:
        """Whether a run's outputs have the shapes that were prepared."""
        return all(one.shape == other.shape for one, other in zip(outputs, self._run.outputs, strict=True))

    def _encode_json(self, request_id: str | None) -> HttpResponse:
        body = b""
        for before, output in self._parts:
            body += before + write_json(output, output.size)
        body += self._end
        if b"null" in body:  # a NaN or an infinity, or a text
            example = replace(self._example, request=replace(self._example.request, id=request_id))
            return encode_infer(self._spec, example, self._run.outputs)
        if request_id is not None:
            body = body.replace(_OUTPUTS, b',"id":"%b"%b' % (request_id.encode("ascii"), _OUTPUTS), 1)
        return HttpResponse(200, body)

    def _encode_binary(self) -> HttpResponse:
        return HttpResponse(200, b"".join(self._binary), OCTET_STREAM, self._headers)


class DirectInfer:
    """For large binary tensors and slow models: what stays the same with every request is worked out before.

    The model gets the memory that the request is in, and its own outputs are sent. ``example`` asks for the
    ``outputs``, of which all are binary data without BYTES.
    """

    __slots__ = ("_example", "_head", "_headers", "_places", "_shapes", "_spec", "_tensors")

    def __init__(
        self, spec: ModelSpec, places: Sequence[Place], example: DecodedInfer, outputs: Sequence[Array]
    ) -> None:
        self._spec = spec
        self._example = example
        self._places = [
            (tensor.name, shape, tensor.datatype.numpy, place.start) for tensor, shape, place in places
        ]
        self._tensors = [spec.output_by_name[name] for name in example.request.output_names]
        self._shapes = [output.shape for output in outputs]
        response = encode_infer(spec, example, outputs)
        self._head = bytes(response.body[0])
        self._headers = response.headers

    def decode(self, body: Buffer, header_length: int) -> InferRequest:
        """The request whose tensors are in ``body``, behind so many bytes."""
        inputs: dict[str, Array] = {}
        for name, shape, datatype, start in self._places:
            array: Array = np.ndarray(shape, datatype, body, header_length + start)
            inputs[name] = array if array.flags.aligned else array.copy()
        example = self._example.request
        return InferRequest(inputs, example.output_names, None, example.timeout_seconds, example.priority)

    def encode(self, outputs: Sequence[Array]) -> HttpResponse:
        """The answer; see ``infer_codec.encode_infer``."""
        buffers: list[Buffer] = [self._head]
        for tensor, shape, output in zip(self._tensors, self._shapes, outputs, strict=True):
            if output.shape != shape:
                return encode_infer(self._spec, self._example, outputs)
            buffers.append(encode_buffer(tensor, output))
        return HttpResponse(200, buffers, OCTET_STREAM, self._headers)


def _bytes_of(array: Array) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8).data)


def _texts_around_data(spec: ModelSpec, example: DecodedInfer, run: PreparedRun) -> list[bytes]:
    """An answer's JSON before, between and behind the outputs' data."""
    names = example.request.output_names
    document = {
        "model_name": spec.name,
        "model_version": spec.version,
        "outputs": [
            {
                "name": name,
                "datatype": spec.output_by_name[name].datatype.name,
                "shape": array.shape,
                "data": [],
            }
            for name, array in zip(names, run.outputs, strict=True)
        ],
    }
    # A quote within a name is escaped, so nothing else looks like an empty "data".
    *before, end = orjson.dumps(document).split(_DATA + b"[]")
    return [text + _DATA for text in before] + [end]
