"""Infer requests that need nothing but the model: numbers into its memory, run, numbers out of it.

For requests that a plan fits (``infer_plans``), to a model that runs on the event loop. The answer is the one
that ``infer_codec`` would make of the same outputs.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import (
    DecodedInfer,
    binary_head,
    describe_answer,
    encode_infer,
)
from modelservice_runtime.protocols.tensors.json_codec import write_json
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import OCTET_STREAM, Buffer, HttpResponse

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
            head, self._headers = binary_head(encode_infer(spec, example, run.outputs), run.outputs)
            self._binary: list[Buffer] = [head, *map(_bytes_of, run.outputs)]
        else:
            *texts, self._end = describe_answer(spec, example, run.outputs, ())
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


def _bytes_of(array: Array) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8).data)
