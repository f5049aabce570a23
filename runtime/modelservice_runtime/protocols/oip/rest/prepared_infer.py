"""Infer requests that need nothing but the model: numbers into its memory, run, numbers out of it.

For requests that a plan fits (`infer_plans`), to a model that runs on the event loop. The answer is the one
that `infer_codec` would make of the same outputs.
"""

import time
from collections.abc import Sequence

import numpy as np

from modelservice_runtime.execution.finite import watch_outputs
from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.oip.rest.infer_codec import DecodedInfer
from modelservice_runtime.protocols.oip.rest.known_answer import KnownAnswer
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import HttpResponse


class PreparedInfer:
    """What writes to `memory`, the bytes of each input by its name, and then calls `answer`.

    `run` gives the outputs that `example` asks for, in that order: all as JSON, or all as binary data.
    """

    __slots__ = ("_answer", "_elements", "_is_finite", "_outputs", "_run", "memory")

    def __init__(self, spec: ModelSpec, example: DecodedInfer, run: PreparedRun) -> None:
        self._run = run
        self._elements = sum(array.size for array in run.inputs.values())
        self._answer = KnownAnswer(spec, example, run.outputs)
        self._is_finite = watch_outputs(spec, example.request.output_names, run.outputs)
        self._outputs = [array.reshape(-1) for array in run.outputs]
        self.memory = {
            name: memoryview(array.reshape(-1).view(np.uint8).data) for name, array in run.inputs.items()
        }

    def answer(
        self, handle: ModelHandle, received_ns: int, request_id: str | None = None
    ) -> HttpResponse | None:
        """Run the model on what is in `memory`; None where it has to be done the usual way.

        `request_id` is repeated in JSON; it holds nothing that JSON escapes.
        """
        ran = handle.lane.run_prepared(self._run, self._elements)
        if ran is None:
            return None
        if not self._is_finite():
            handle.statistics.nonfinite_count += 1
        response = self._answer.encode(self._outputs, request_id)
        if not isinstance(response.body, bytes):
            response.body = b"".join(response.body)  # the next run writes to the same outputs
        handle.statistics.record_inline(received_ns, ran[0], ran[1], time.perf_counter_ns())
        return response

    def fits(self, outputs: Sequence[Array]) -> bool:
        """Whether a run's outputs have the shapes that were prepared."""
        return all(one.shape == other.shape for one, other in zip(outputs, self._run.outputs, strict=True))
