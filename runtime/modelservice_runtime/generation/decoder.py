"""Runs a decoder: its session, the memory of its keys and values, and what a run is bound to.

There is one buffer a layer for keys and one for values, of shape (slots, heads, places, head size), bound as
past and as present, so that a run appends in place. A decode step runs the first rows with one token each; a
prompt is read in chunks into the view of its own slot. Rows are ragged: a row's length is the sum of its
attention mask. An adapter is active for a whole run: its weights are bound beside keys and values.

Facts about ONNX Runtime this module relies on (1.31): GroupQueryAttention writes to the past's memory where
the present is bound to the same; it takes every row's own length from the mask; a binding keeps what it was
given, so that only ids, mask and logits change in a step.
"""

import mmap
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from modelservice_runtime.errors import (
    AccessDeniedError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
    ServingError,
)
from modelservice_runtime.generation.adapters import Adapter, open_adapter
from modelservice_runtime.generation.config import CONFIG_NAME, DecoderConfig
from modelservice_runtime.generation.graph import check_graph
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.onnx.errors import RUN_ERRORS, translate_run_error
from modelservice_runtime.onnx.execution_providers import CPU
from modelservice_runtime.onnx.graph.files import ModelFiles
from modelservice_runtime.onnx.graph.scan import scan_model_file
from modelservice_runtime.onnx.session import FATAL, create_session
from modelservice_runtime.settings.generation import AdapterSource
from modelservice_runtime.settings.sessions import SessionSettings

Logits = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

_KINDS = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}  # fmt: skip
# Bindings that are kept for each slot: adapters come and go, and each of theirs names all of its weights.
_BINDINGS_OF_A_SLOT = 8
# Released together with GroupQueryAttention's present inputs; older ones call new graphs invalid.
_OLDEST_VERSION = (1, 26)


class DecoderSession:
    """A loaded decoder without any memory for rows."""

    def __init__(self, config: DecoderConfig, session: ort.InferenceSession, files: ModelFiles) -> None:
        self.config = config
        self.files = files
        self.session = session
        self.kinds = {one.name: one.type for one in session.get_inputs()}
        self.logits_kind = _numpy_kind(config.logits_name, _outputs(session)[config.logits_name].type)
        self.cache_kind = _numpy_kind(config.past()[0], self.kinds[config.past()[0]])
        places = _outputs(session)[config.logits_name].shape[1]
        self.gives_all_places = places != 1

    @property
    def token_bytes(self) -> int:
        """Memory for keys and values of one token."""
        config = self.config
        return 2 * config.layers * config.kv_heads * config.head_size * self.cache_kind.itemsize

    def run(
        self, inputs: Mapping[str, npt.NDArray[np.generic]], names: Sequence[str]
    ) -> list[npt.NDArray[np.generic]]:
        """The named outputs of inputs that hold all of the past themselves. Raises InferenceFailedError."""
        try:
            found: list[npt.NDArray[np.generic]] = self.session.run(names, dict(inputs))
        except RUN_ERRORS as error:
            raise translate_run_error(error, terminated=False, on_cuda=False) from error.with_traceback(None)
        return found

    def open_adapters(self, sources: Iterable[AdapterSource]) -> dict[str, Adapter]:
        """Adapters by name, read and checked. Raises StartupError."""
        return {source.name: open_adapter(source, self.session) for source in sources}


class Decoder:
    """Rows of keys and values, and the runs that fill them; one thread, but for `stop`."""

    def __init__(
        self,
        opened: DecoderSession,
        slots: int,
        places: int,
        adapters: Mapping[str, Adapter] | None = None,
    ) -> None:
        config = opened.config
        self.adapters = adapters or {}
        self.slots, self.places = slots, places
        self.vocabulary = config.vocabulary
        self._opened = opened
        self._session = opened.session
        shape = (slots, config.kv_heads, places, config.head_size)
        # Filled, so that the memory is there before it is promised to anybody.
        self._caches = [np.full(shape, 0, opened.cache_kind) for _ in config.past()]
        self._row_shape = shape[1:]
        self._row_bytes = self._caches[0][0].nbytes
        self._bindings: dict[tuple[int, int, str | None], ort.IOBinding] = {}
        self._ids_kind = _numpy_kind(config.ids_name, opened.kinds[config.ids_name])
        self._mask_kind = _numpy_kind(config.mask_name, opened.kinds[config.mask_name])
        positions = opened.kinds.get(config.positions_name)
        self._positions_kind = positions and _numpy_kind(config.positions_name, positions)
        self._step_ids = np.zeros((slots, 1), self._ids_kind)
        self._step_logits = np.zeros((slots, 1, config.vocabulary), opened.logits_kind)
        self._lock = threading.Lock()
        self._options: ort.RunOptions | None = None

    @property
    def cache_bytes(self) -> int:
        """Memory of all keys and values."""
        return sum(cache.nbytes for cache in self._caches)

    def prefill(
        self,
        slot: int,
        tokens: Sequence[int],
        past: int,
        adapter: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Logits:
        """Append `tokens` to a slot that holds `past` already; returns the logits behind the last one.

        `is_wanted` is asked when `stop` can end the run already. Raises DeadlineExceededError where it was
        stopped: the slot holds what it held; InferenceFailedError or OutputTooLargeError where the model
        failed.
        """
        ids = np.asarray([tokens], self._ids_kind)
        mask = np.ones((1, past + len(tokens)), self._mask_kind)
        inputs = self._inputs(ids, mask, np.arange(past, past + len(tokens))[None])
        places = len(tokens) if self._opened.gives_all_places else 1
        logits = np.empty((1, places, self.vocabulary), self._opened.logits_kind)
        self._run(self._binding(slot, 1, adapter), inputs, logits, is_wanted)
        last: Logits = logits[0, -1].astype(np.float32, copy=False)
        return last

    def decode(
        self, tokens: Sequence[int], lengths: Ids, first: int = 0, adapter: str | None = None
    ) -> Logits:
        """One token for each row from the slot `first` on, which have these lengths before it; their logits.

        The next call writes to the same memory. Raises as `prefill` does.
        """
        rows = len(tokens)
        self._step_ids[:rows, 0] = tokens
        mask = (np.arange(int(lengths.max()) + 1) <= lengths[:, None]).astype(self._mask_kind)
        inputs = self._inputs(self._step_ids[:rows], mask, lengths[:, None])
        logits = self._step_logits[:rows]
        self._run(self._binding(first, rows, adapter), inputs, logits)
        return logits[:, 0].astype(np.float32, copy=False)

    def copy(self, source: int, target: int, length: int) -> None:
        """Give `target` the first `length` places of `source`."""
        for cache in self._caches:
            cache[target, :, :length] = cache[source, :, :length]

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        """Exchange what two slots hold, whose lengths these are."""
        for cache in self._caches:
            kept = cache[one, :, :one_length].copy()
            cache[one, :, :other_length] = cache[other, :, :other_length]
            cache[other, :, :one_length] = kept

    def stop(self) -> None:
        """End the run that is under way, if any; on any thread."""
        with self._lock:
            if self._options is not None:
                self._options.terminate = True

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
        logits: npt.NDArray[np.generic],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        config = self._opened.config
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        address = logits.ctypes.data
        binding.bind_output(config.logits_name, "cpu", 0, logits.dtype.type, logits.shape, address)
        options = ort.RunOptions()
        options.log_severity_level = FATAL
        with self._lock:
            self._options = options
        if not is_wanted():
            options.terminate = True
        try:
            self._session.run_with_iobinding(binding, options)
        except RUN_ERRORS as error:
            raise self._translated(error, options) from error.with_traceback(None)
        finally:
            with self._lock:
                self._options = None

    def _translated(self, error: Exception, options: ort.RunOptions) -> ServingError:
        return translate_run_error(error, terminated=bool(options.terminate), on_cuda=False)

    def _binding(self, first: int, rows: int, adapter: str | None) -> ort.IOBinding:
        key = (first, rows, adapter)
        binding = self._bindings.get(key)
        if binding is not None:
            return binding
        if len(self._bindings) >= self.slots * _BINDINGS_OF_A_SLOT:
            self._bindings.clear()
        config, shape = self._opened.config, (rows, *self._row_shape)
        binding = self._session.io_binding()
        for past, present, cache in zip(config.past(), config.present(), self._caches, strict=True):
            address = cache.ctypes.data + first * self._row_bytes
            binding.bind_input(past, "cpu", 0, cache.dtype.type, shape, address)
            binding.bind_output(present, "cpu", 0, cache.dtype.type, shape, address)
        if adapter is not None:
            for name, value in self.adapters[adapter].values.items():
                binding.bind_ortvalue_input(name, value)
        self._bindings[key] = binding
        return binding


def open_decoder(folder: Path, config: DecoderConfig, settings: SessionSettings) -> DecoderSession:
    """Check and load the folder's graph.

    Raises StartupError subclasses whose sentence names cause and remedy.
    """
    file = folder / config.file
    try:
        check_readable(file)
        scan = scan_model_file(file)
        for external in scan.files.external:
            check_readable(external)
        with scan.files.model.open("rb") as opened:
            check_graph(memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)), config)
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(file)) from error
    except OSError as error:
        raise ModelNotFoundError(
            f"{CONFIG_NAME} names the graph {config.file[:200]!r}, which cannot be read ({error.strerror}); "
            "keep all files of the model in one folder"
        ) from error
    session = _create(scan.files.model, settings)
    _check_signature(session, config)
    scan.files.check_unchanged()
    return DecoderSession(config, session, scan.files)


def _create(model: Path, settings: SessionSettings) -> ort.InferenceSession:
    try:
        session = create_session(model, settings)
    except ModelLoadFailedError as error:
        version = tuple(int(part) for part in ort.__version__.split(".")[:2])
        if version < _OLDEST_VERSION:
            oldest = ".".join(map(str, _OLDEST_VERSION))
            raise ModelLoadFailedError(
                f"{error.sentence}; this server has ONNX Runtime {ort.__version__}, and graphs of today's "
                f"model builder need {oldest} or newer: upgrade it"
            ) from error
        raise
    if session.get_providers() != [CPU]:
        raise ModelRejectedError(
            f"text is generated on the CPU only, and this server runs on {session.get_providers()[0]}; "
            "serve it with --execution-provider CPU"
        )
    return session


def _check_signature(session: ort.InferenceSession, config: DecoderConfig) -> None:
    """Refuse what would have to be given to the graph, or kept of it, beside ids, mask, keys and values."""
    inputs = {one.name: one for one in session.get_inputs()}
    wanted = {config.ids_name, config.mask_name, *config.past()}
    unknown = sorted(inputs.keys() - wanted - {config.positions_name})
    if unknown:
        raise ModelRejectedError(
            f"the graph asks for {_listed(unknown)} beside ids, mask, positions, keys and values: a state "
            "that is not served; take a plain decoder"
        )
    positions = inputs.get(config.positions_name)
    if positions is not None and len(positions.shape) != 2:
        raise ModelRejectedError(
            f"the graph asks for {config.positions_name} of the shape {positions.shape}, as models of "
            "pictures do, and one number for each token is served; take a model of texts alone"
        )
    missing = sorted(
        (wanted - inputs.keys()) | ({config.logits_name, *config.present()} - _outputs(session).keys())
    )
    if missing:
        raise ModelLoadFailedError(f"{CONFIG_NAME} names {_listed(missing)}, which the graph lacks")
    logits = _outputs(session)[config.logits_name].shape
    if len(logits) != 3 or logits[2] != config.vocabulary:
        raise ModelLoadFailedError(
            f"{CONFIG_NAME}: model.vocab_size is {config.vocabulary}, and the graph's {config.logits_name} "
            f"has the shape {logits}; export the model again"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:3]) + (" and more" if len(names) > 3 else "")


def _outputs(session: ort.InferenceSession) -> dict[str, ort.NodeArg]:
    return {one.name: one for one in session.get_outputs()}


def _numpy_kind(name: str, kind: str) -> np.dtype[np.generic]:
    found = _KINDS.get(kind)
    if found is None:
        raise ModelRejectedError(
            f"the graph's {name[:80]!r} is a {kind}, which is not served; export it in fp32, fp16 or int4"
        )
    return np.dtype(found)
