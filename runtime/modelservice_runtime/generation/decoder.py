"""Runs a decoder: what a run of its session is bound to.

There is one piece of memory a layer for keys and one for values, of shape (slots, heads, places, head size),
bound as past and as present, so that a run appends in place. A decode step runs the first rows with one token
each; a prompt is read in chunks into the view of its own slot. Rows are ragged: a row's length is the sum of
its attention mask. An adapter is active for a whole run: its weights are bound beside keys and values. Ids,
mask and logits are the host's also where the rest is a device's: ONNX Runtime copies the former when they are
bound, and the latter when a run ends.

Facts about ONNX Runtime this module relies on (1.31): GroupQueryAttention writes to the past's memory where
the present is bound to the same; it takes every row's own length from the mask; a binding keeps what it was
given, so that only ids, mask and logits change in a step.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from modelservice_runtime.errors import DeviceLostError, ServingError
from modelservice_runtime.generation.adapters import Adapter
from modelservice_runtime.generation.backend import Ids, Logits
from modelservice_runtime.generation.config import PLACES_INPUT
from modelservice_runtime.generation.decoder_session import DecoderSession, numpy_kind
from modelservice_runtime.generation.kv.memory import KvMemory
from modelservice_runtime.onnx.errors import RUN_ERRORS, translate_run_error
from modelservice_runtime.onnx.session import FATAL

# Bindings that are kept for each slot: adapters come and go, and each of theirs names all of its weights.
_BINDINGS_OF_A_SLOT = 8
# Logits of a run that are kept at once: 32 MiB, and as much again while they are copied. The memory for keys
# and values leaves runs a part, and 512 tokens of Qwen's vocabulary would have 297 MiB; chunks of 64 tokens
# are read as fast as such of 512 on a CPU.
_SCORED_NUMBERS = 1 << 23


class Decoder:
    """See `Backend`. `on_device_lost` is called, on a run's thread, when the device has failed for good."""

    def __init__(
        self, opened: DecoderSession, memory: KvMemory, adapters: Mapping[str, Adapter] | None = None
    ) -> None:
        """`memory` is one that `opened` made, with as many rows as there shall be slots."""
        config, slots = opened.config, memory.slots
        self.adapters = adapters or {}
        self.slots, self.places, self.cache_bytes = slots, memory.shape.places, memory.size_bytes
        self.vocabulary = config.vocabulary
        self.scored_tokens = max(_SCORED_NUMBERS // config.vocabulary, 1)
        self.on_device_lost: Callable[[], None] = lambda: None
        self._opened = opened
        self._session = opened.session
        self._memory = memory
        self._bindings: dict[tuple[int, int, str | None], ort.IOBinding] = {}
        self._ids_kind = numpy_kind(config.ids_name, opened.kinds[config.ids_name])
        self._mask_kind = numpy_kind(config.mask_name, opened.kinds[config.mask_name])
        positions = opened.kinds.get(config.positions_name)
        self._positions_kind = positions and numpy_kind(config.positions_name, positions)
        self._step_ids = np.zeros((slots, 1), self._ids_kind)
        self._step_logits = np.zeros((slots, 1, config.vocabulary), opened.logits_kind)
        self._lock = threading.Lock()
        self._options: ort.RunOptions | None = None

    def prefill(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        """See `Backend.prefill`. Where the graph tells logits of all places, it reads as many as `score`."""
        most = self.scored_tokens if self._opened.gives_all_places else len(tokens)
        for at in range(0, len(tokens), most):
            last = self._read(slot, tokens[at : at + most], past + at, adapter, is_wanted)
        return last

    def _read(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None,
        is_wanted: Callable[[], bool],
    ) -> Logits:
        """Append tokens in one run; the logits behind the last one."""
        places = len(tokens) if self._opened.gives_all_places else 1
        logits = np.empty((1, places, self.vocabulary), self._opened.logits_kind)
        self._run(self._binding(slot, 1, adapter), self._inputs_behind(past, tokens), logits, is_wanted)
        last: Logits = logits[0, -1].astype(np.float32, copy=False)
        return last

    def score(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        """See `Backend.score`. A graph that tells logits of the last place alone reads them one by one."""
        if not (self._opened.gives_all_places or self._opened.takes_places):
            rows = enumerate(tokens, start=past)
            return np.stack([self.prefill(slot, [token], at, adapter, is_wanted) for at, token in rows])
        binding = self._make_binding(slot, 1, adapter)
        if self._opened.takes_places:
            places = ort.OrtValue.ortvalue_from_numpy(np.arange(len(tokens)))
            binding.bind_ortvalue_input(PLACES_INPUT, places)
        # Declared as one place, so ONNX Runtime takes no memory for several, but gives its own.
        binding.bind_output(self._opened.config.logits_name, "cpu")
        self._run(binding, self._inputs_behind(past, tokens), None, is_wanted)
        logits: Logits = binding.get_outputs()[-1].numpy()[0].astype(np.float32, copy=False)
        return logits

    def decode(
        self, tokens: Sequence[int], lengths: Ids, first: int = 0, adapter: str | None = None
    ) -> Logits:
        """See `Backend.decode`."""
        rows = len(tokens)
        self._step_ids[:rows, 0] = tokens
        mask = (np.arange(int(lengths.max()) + 1) <= lengths[:, None]).astype(self._mask_kind)
        inputs = self._inputs(self._step_ids[:rows], mask, lengths[:, None])
        logits = self._step_logits[:rows]
        self._run(self._binding(first, rows, adapter), inputs, logits)
        return logits[:, 0].astype(np.float32, copy=False)

    def copy(self, source: int, target: int, length: int) -> None:
        """See `Backend.copy`."""
        try:
            self._memory.copy(source, target, length)
        except RUN_ERRORS as error:
            raise self._translated(error) from error.with_traceback(None)

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        """See `Backend.swap`."""
        try:
            self._memory.swap(one, other, one_length, other_length)
        except RUN_ERRORS as error:
            raise self._translated(error) from error.with_traceback(None)

    def stop(self) -> None:
        """See `Backend.stop`."""
        with self._lock:
            if self._options is not None:
                self._options.terminate = True

    def _inputs_behind(self, past: int, tokens: Sequence[int]) -> dict[str, npt.NDArray[np.generic]]:
        """What a run takes that reads these tokens behind so many."""
        ids = np.asarray([tokens], self._ids_kind)
        mask = np.ones((1, past + len(tokens)), self._mask_kind)
        return self._inputs(ids, mask, np.arange(past, past + len(tokens))[None])

    def _inputs(
        self, ids: npt.NDArray[np.generic], mask: npt.NDArray[np.generic], positions: Ids
    ) -> dict[str, npt.NDArray[np.generic]]:
        """What a run takes by name; `positions` are each token's, and told to graphs that ask for them."""
        config = self._opened.config
        inputs = {config.ids_name: ids, config.mask_name: mask}
        if self._positions_kind:
            inputs[config.positions_name] = np.ascontiguousarray(positions, self._positions_kind)
        return inputs

    def _run(
        self,
        binding: ort.IOBinding,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        logits: npt.NDArray[np.generic] | None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Run; with `logits` None the binding says where they go."""
        options = ort.RunOptions()
        options.log_severity_level = FATAL
        with self._lock:
            self._options = options
        if not is_wanted():
            options.terminate = True
        try:
            self._bind(binding, inputs, logits)
            self._session.run_with_iobinding(binding, options)
        except RUN_ERRORS as error:
            raise self._translated(error, terminated=bool(options.terminate)) from error.with_traceback(None)
        finally:
            with self._lock:
                self._options = None

    def _bind(
        self,
        binding: ort.IOBinding,
        inputs: Mapping[str, npt.NDArray[np.generic]],
        logits: npt.NDArray[np.generic] | None,
    ) -> None:
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        if logits is None:
            return
        name, address = self._opened.config.logits_name, logits.ctypes.data
        binding.bind_output(name, "cpu", 0, logits.dtype.type, logits.shape, address)

    def _translated(self, error: Exception, *, terminated: bool = False) -> ServingError:
        on_cuda = self._memory.device.is_cuda
        translated = translate_run_error(error, terminated=terminated, on_cuda=on_cuda)
        if isinstance(translated, DeviceLostError):
            self.on_device_lost()
        return translated

    def _binding(self, first: int, rows: int, adapter: str | None) -> ort.IOBinding:
        key = (first, rows, adapter)
        binding = self._bindings.get(key)
        if binding is not None:
            return binding
        if len(self._bindings) >= self.slots * _BINDINGS_OF_A_SLOT:
            self._bindings.clear()
        binding = self._bindings[key] = self._make_binding(first, rows, adapter)
        return binding

    def _make_binding(self, first: int, rows: int, adapter: str | None) -> ort.IOBinding:
        """Keys and values, and an adapter's weights; logits are bound behind them."""
        config, memory = self._opened.config, self._memory
        device, kind = memory.device, memory.shape.kind.type
        shape = (rows, *memory.shape.dimensions)
        binding = self._session.io_binding()
        for piece, (past, present) in enumerate(zip(config.past(), config.present(), strict=True)):
            address = memory.address(piece, first)
            binding.bind_input(past, device.kind, device.number, kind, shape, address)
            binding.bind_output(present, device.kind, device.number, kind, shape, address)
        if adapter is not None:
            for name, value in self.adapters[adapter].values.items():
                binding.bind_ortvalue_input(name, value)
        return binding
