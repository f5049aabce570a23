"""ONNX Runtime behind the `Model` protocol.

Facts about ONNX Runtime this module relies on: `run` is thread-safe and drops the GIL; a string tensor made
of bytes is stored as `"b'...'"`, so strings arrive here as str.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from modelservice_runtime.errors import (
    AccessDeniedError,
    DeviceLostError,
    InferenceFailedError,
    InputRefusedError,
    InvalidRequestError,
    ModelLoadFailedError,
    ModelNotFoundError,
    OutputTooLargeError,
    ServingError,
)
from modelservice_runtime.machine.memory.allocator import give_back_freed_memory
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.model import ModelSpec, PreparedRun, Run
from modelservice_runtime.onnx.arena import shrink_arena
from modelservice_runtime.onnx.errors import RUN_ERRORS, lacks_memory, translate_run_error
from modelservice_runtime.onnx.execution_providers import CPU, CUDA, find_graph_obstacle, uses_cuda
from modelservice_runtime.onnx.graph.compound_outputs import (
    Convert,
)
from modelservice_runtime.onnx.graph.scan import ModelScan, scan_model_file
from modelservice_runtime.onnx.graph.zip_map import without_zip_maps
from modelservice_runtime.onnx.run_gate import RunGate
from modelservice_runtime.onnx.session import FATAL, create_session
from modelservice_runtime.onnx.signature import describe_session
from modelservice_runtime.onnx.values import FixedBinding, HostBinding, to_array, to_ort_value
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import (
    BF16,
    Array,
)

log = logging.getLogger(__name__)

_GATE = RunGate()
# Larger tensors take so long to read and write that preparing for them gains nothing.
_MAX_PREPARED_BYTES = 16 * 1024
# Larger files are loaded as they are; see `_load_edited`.
_MAX_EDITED_BYTES = 16 * 1024 * 1024
_MAX_LISTED = 5
_CONVERT_TRANSFORMERS = (
    "it is a model as transformers saves it: convert it first (modelservice model convert --from "
    "transformers-causal where it writes texts, else --from transformers)"
)


class OnnxRun:
    """A run that another thread can stop; ONNX Runtime reacts within about 50 ms."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = FATAL

    def stop(self) -> None:
        """Ask ONNX Runtime to end the run."""
        self.options.terminate = True


class OnnxModel:
    """A loaded ONNX model.

    `compound` makes the tensors that are served for outputs that are none, by name. `files` is what it
    was loaded from. `on_device_lost` is called, on the thread of the run, when the accelerator has failed
    for good. With a `binding` runs take turns.
    """

    def __init__(
        self,
        spec: ModelSpec,
        session: ort.InferenceSession,
        compound: Mapping[str, Convert],
        scan: ModelScan,
        *,
        max_output_bytes: int,
        binding: FixedBinding | None = None,
    ) -> None:
        self.spec = spec
        self._compound = compound
        self.files = scan.files
        self.time_varies = scan.time_varies
        self.on_device_lost: Callable[[], None] = lambda: None
        self._session = session
        self._binding = binding
        self._max_output_bytes = max_output_bytes
        self._on_cuda = uses_cuda(session.get_providers())
        # The binding below the public class: the same arguments without the checks made here already, a
        # fifth of a tiny model's time.
        self._run_session: Callable[..., list[Array]] = getattr(session, "_sess", session).run
        self._dividends = [
            (name, np.iinfo(spec.input_by_name[name].datatype.numpy).min)
            for name in sorted(scan.dividends)
            if spec.input_by_name[name].datatype.name in ("INT32", "INT64")  # shorter ones are widened first
        ]
        self._needing_elements = sorted(scan.needing_elements)
        self._has_bf16 = any(tensor.datatype is BF16 for tensor in (*spec.inputs, *spec.outputs))

    @property
    def execution_providers(self) -> list[str]:
        """The providers ONNX Runtime really uses, in its order."""
        return list(self._session.get_providers())

    @property
    def is_coarse(self) -> bool:
        """See `WarmableModel.is_coarse`."""
        return self.execution_providers != [CPU]

    @property
    def runs_in_turns(self) -> bool:
        """True when a second thread would only wait for the first."""
        return self._binding is not None

    @property
    def skipped_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that no protocol can carry."""
        return tuple(self.spec.left_out)

    def new_run(self) -> OnnxRun:
        """See `Model.new_run`."""
        return OnnxRun()

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        """See `Model.run`."""
        options = handle.options if isinstance(handle, OnnxRun) else None
        if self._dividends:
            self._check_dividends(inputs)
        if self._needing_elements:
            self._check_elements(inputs)
        try:
            if handle is None:  # a short run on the event loop, which nobody has to wait for
                outputs = self._run_or_make_room(inputs, output_names, options, may_wait=False)
            else:
                may_wait = not _is_on_event_loop()
                with _GATE.run(may_wait=may_wait):
                    outputs = self._run_or_make_room(inputs, output_names, options, may_wait=may_wait)
        except RUN_ERRORS as error:
            # The traceback's frames hold the inputs, and whoever keeps the error would keep them too.
            raise self._translated(error, options, inputs) from error.with_traceback(None)
        if self._compound:
            outputs = self._as_tensors(output_names, outputs)
        size_bytes = 0
        for output in outputs:
            size_bytes += output.nbytes
        if size_bytes > self._max_output_bytes:
            raise OutputTooLargeError(
                f"the outputs have {size_bytes} bytes and the limit is {self._max_output_bytes}; ask for less"
            )
        return outputs

    def _run_or_make_room(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], options: Any, *, may_wait: bool
    ) -> list[Array]:
        """Run; where there is no memory for it, run once more alone, and then with all that nobody uses."""
        try:
            return self._run_once(inputs, output_names, options)
        except RUN_ERRORS as error:
            if self._on_cuda or not lacks_memory(error):
                raise
        with _GATE.alone(may_wait=may_wait):
            try:
                return self._run_once(inputs, output_names, options)
            except RUN_ERRORS as error:
                if not lacks_memory(error):
                    raise
            shrink_arena()
            give_back_freed_memory()
            return self._run_once(inputs, output_names, options)

    def _run_once(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], options: Any
    ) -> list[Array]:
        if self._binding is not None:
            return self._binding.run(inputs, output_names, options)
        if self._has_bf16:
            return self._run_with_ort_values(inputs, output_names, options)
        return self._run_session(output_names, inputs, options)

    def _as_tensors(self, names: Sequence[str], outputs: Sequence[Any]) -> list[Array]:
        compound = self._compound
        return [
            compound[name](output) if name in compound else output
            for name, output in zip(names, outputs, strict=True)
        ]

    def _check_dividends(self, inputs: Mapping[str, Array]) -> None:
        """Refuse what may end the process; see `onnx.graph.scan`."""
        for name, smallest in self._dividends:
            if inputs[name].size and inputs[name].min() == smallest:
                raise InvalidRequestError(
                    f"input '{name}' holds {smallest}, which this model divides; the smallest integer has no "
                    "quotient by -1, so send larger values"
                )

    def _check_elements(self, inputs: Mapping[str, Array]) -> None:
        """Refuse what would end the process too."""
        for name, array in inputs.items():
            if not array.size:
                operators = ", ".join(self._needing_elements)
                raise InvalidRequestError(
                    f"input '{name}' has no elements, and this model has {operators}, which ONNX Runtime "
                    "cannot run on nothing: send at least one row, with at least one step"
                )

    def _translated(self, error: Exception, options: Any, inputs: Mapping[str, Array]) -> ServingError:
        terminated = options is not None and options.terminate
        translated = translate_run_error(error, terminated=terminated, on_cuda=self._on_cuda)
        if isinstance(translated, InferenceFailedError) and any(not array.size for array in inputs.values()):
            # Many models cannot: no rows leave a node without the dimension that it expects.
            return InputRefusedError(f"the model does not run on inputs without elements: {translated}")
        if isinstance(translated, DeviceLostError):
            self.on_device_lost()
        return translated

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> PreparedRun | None:
        """See `Model.prepare`; for small tensors of numbers, on the CPU."""
        arrays = (*inputs.values(), *outputs.values())
        if self._session.get_providers() != [CPU] or self._has_bf16 or self._dividends:
            return None
        if not self._compound.keys().isdisjoint(outputs):
            return None
        if any(array.dtype.hasobject or not array.size for array in arrays):
            return None
        if sum(array.nbytes for array in arrays) > _MAX_PREPARED_BYTES:
            return None
        return HostBinding(self._session, inputs, outputs, partial(self._tell_failure, tuple(outputs)))

    def _tell_failure(self, names: Sequence[str], error: Exception, prepared: PreparedRun) -> None:
        """Raise what a failed prepared run means to the client; return where `run` can do it.

        ONNX Runtime tells such errors without their kinds, so the model runs once more. Where that goes well,
        and with the prepared shapes, the model fails now and then. That is told too: a client that asks
        otherwise would be told so, and the count of failures shall not depend on how it asks.
        """
        if lacks_memory(error):
            return
        outputs = self.run(prepared.inputs, names)
        if all(one.shape == other.shape for one, other in zip(outputs, prepared.outputs, strict=True)):
            raise self._translated(error, None, prepared.inputs) from error.with_traceback(None)

    def _run_with_ort_values(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], options: Any
    ) -> list[Array]:
        """BF16 has no numpy type: its bits go in and out by `OrtValue`."""
        values = {name: to_ort_value(array, self.spec.input_by_name[name]) for name, array in inputs.items()}
        outputs = self._session.run_with_ort_values(list(output_names), values, options)
        specs = self.spec.output_by_name
        return [to_array(value, specs[name]) for name, value in zip(output_names, outputs, strict=True)]


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def load_onnx_model(path: Path, name: str, version: str, settings: SessionSettings) -> OnnxModel:
    """Check, scan and load the model at `path`.

    Raises StartupError subclasses whose sentence names cause and remedy.
    """
    try:
        found = find_model_file(path)
        check_readable(found)
        scan = _scan(found)
        for external in scan.files.external:
            check_readable(external)
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(path)) from error
    except OSError as error:
        raise ModelNotFoundError(
            f"cannot read the model at {str(path)!r} ({error.strerror}); check its permissions and its volume"
        ) from error
    model = _load_edited(scan, name, version, settings) or _load(
        scan.files.model, scan, name, version, settings
    )
    scan.files.check_unchanged()
    return model


def _scan(file: Path) -> ModelScan:
    """Scan a file; one that is no model is named, for nobody may have meant it."""
    try:
        return scan_model_file(file)
    except ModelLoadFailedError as error:
        raise ModelLoadFailedError(f"{file.name!r}: {error.sentence}") from error


def _load_edited(scan: ModelScan, name: str, version: str, settings: SessionSettings) -> OnnxModel | None:
    """Load without ZipMaps, whose maps take longer than the scores; None for what they are left in.

    That takes two copies of the file for a moment: a large one keeps them, beside whose runs they are short.
    """
    outputs, file = scan.plain_zip_maps, scan.files.model
    if not outputs or scan.files.locations or file.stat().st_size > _MAX_EDITED_BYTES:
        return None
    needs_opset = scan.opsets.keys().isdisjoint(("", "ai.onnx"))
    try:
        edited = without_zip_maps(memoryview(file.read_bytes()), outputs, needs_opset=needs_opset)
        return _load(edited, scan, name, version, settings)
    except (ModelLoadFailedError, OSError) as error:
        log.warning("ZipMaps stay in the model", extra={"model": name, "cause": str(error)})
        return None


def _load(
    file: Path | bytes, scan: ModelScan, name: str, version: str, settings: SessionSettings
) -> OnnxModel:
    if settings.cuda.graphs:
        return _load_with_graphs(file, scan, name, version, settings)
    session = create_session(file, settings)
    spec, compound = describe_session(session, name, version, scan)
    return OnnxModel(spec, session, compound, scan, max_output_bytes=settings.max_output_bytes)


def find_model_file(path: Path) -> Path:
    """Return `path`, or the one `*.onnx` in it when it is a directory (`model.onnx` wins)."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelNotFoundError(
            f"there is no model at {str(path)!r}; check the path and that it is readable"
        )
    check_readable(path)
    if (path / "model.onnx").is_file():
        return path / "model.onnx"
    candidates = sorted(path.glob("*.onnx"))
    if len(candidates) == 1:
        return candidates[0]
    found = _list_names(candidates) or f"none, but {_list_names(sorted(path.iterdir())) or 'no other file'}"
    is_transformers = not candidates and (path / "config.json").is_file() and any(path.glob("*.safetensors"))
    hint = f"; {_CONVERT_TRANSFORMERS}" if is_transformers else ""
    raise ModelNotFoundError(
        f"directory {str(path)!r} must hold model.onnx or exactly one *.onnx file; found {found}{hint}"
    )


def _list_names(files: list[Path]) -> str:
    more = f" and {len(files) - _MAX_LISTED} more" if len(files) > _MAX_LISTED else ""
    return ", ".join(file.name for file in files[:_MAX_LISTED]) + more


def _load_with_graphs(
    file: Path | bytes, scan: ModelScan, name: str, version: str, settings: SessionSettings
) -> OnnxModel:
    """Load for CUDA graphs, or as usual where the model or ONNX Runtime does not allow them."""
    try:
        session = create_session(file, settings)
        spec, compound = describe_session(session, name, version, scan)
        obstacle = find_graph_obstacle(spec, has_control_flow=scan.has_control_flow)
        if CUDA not in session.get_providers():
            obstacle = "the model does not run on CUDA"
    except ModelLoadFailedError as error:
        obstacle = str(error)
    if obstacle is None:
        binding = FixedBinding(session, spec, "cuda", settings.device_id)
        return OnnxModel(
            spec, session, compound, scan, max_output_bytes=settings.max_output_bytes, binding=binding
        )
    log.warning("CUDA graphs are off", extra={"model": name, "cause": obstacle})
    session = create_session(file, replace(settings, cuda=replace(settings.cuda, graphs=False)))
    spec, compound = describe_session(session, name, version, scan)
    return OnnxModel(spec, session, compound, scan, max_output_bytes=settings.max_output_bytes)
