"""ONNX Runtime behind the ``Model`` protocol; the only module that imports onnxruntime.

Facts about ONNX Runtime this module relies on (measured with 1.31 on CPU): asking for CUDA where it is
missing only warns and runs on CPU; ``run`` is thread-safe and drops the GIL; spinning threads burn CPU
between runs; a string tensor made of bytes is stored as ``"b'...'"``, so strings arrive here as str.
"""

import ctypes
import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from modelservice_runtime.errors import (
    DeadlineExceededError,
    ExecutionProviderUnavailableError,
    InferenceFailedError,
    InvalidRequestError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
    OutputTooLargeError,
    ServingError,
)
from modelservice_runtime.model import ModelSpec, Run, WarmUp
from modelservice_runtime.onnx_scan import ModelScan, scan_model_file
from modelservice_runtime.tensors import BF16, BYTES, DATATYPES, Array, Datatype, TensorSpec, count_elements

_BFLOAT16_ELEMENT_TYPE = 16  # onnx.TensorProto.BFLOAT16
_DATATYPE_BY_ORT_TYPE: dict[str, Datatype] = {
    f"tensor({ort_name})": DATATYPES[name]
    for ort_name, name in {
        "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
        "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
        "float16": "FP16", "bfloat16": "BF16", "float": "FP32", "double": "FP64", "string": "BYTES",
    }.items()
}  # fmt: skip

# A gigabyte of FP32; a model with larger fixed inputs is warmed up by its first request.
_MAX_SYNTHETIC_ELEMENTS = 1 << 28
_WARM_UP_LIMIT_SECONDS = 60.0
_FATAL = 4  # everything below is raised as an exception too, and would only break the JSON log
_LOAD_ERRORS = (
    ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf,
    ort_errors.NoModel, ort_errors.NoSuchFile, ort_errors.NotImplemented, ort_errors.RuntimeException,
    ort_errors.EPFail, RuntimeError, ValueError,
)  # fmt: skip
_RUN_ERRORS = (
    ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.NotImplemented, ort_errors.RuntimeException,
    ort_errors.EPFail, RuntimeError, MemoryError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How to run a model: execution providers in order of preference (short names), and threads."""

    execution_providers: tuple[str, ...]
    intra_op_threads: int


class OnnxRun:
    """A run that another thread can stop; ONNX Runtime reacts within about 50 ms."""

    __slots__ = ("options",)

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = _FATAL

    def stop(self) -> None:
        """Ask ONNX Runtime to end the run."""
        self.options.terminate = True


class OnnxModel:
    """A loaded ONNX model; ``skipped_outputs`` names outputs that no protocol can carry."""

    def __init__(
        self,
        spec: ModelSpec,
        session: ort.InferenceSession,
        skipped_outputs: tuple[str, ...],
        *,
        has_loops: bool,
    ) -> None:
        self.spec = spec
        self.skipped_outputs = skipped_outputs
        self.has_loops = has_loops
        self._session = session
        # The binding below the public class: the same arguments without the checks made here already, a
        # fifth of a tiny model's time.
        self._run_session: Callable[..., list[Array]] = getattr(session, "_sess", session).run
        self._has_bf16 = any(tensor.datatype is BF16 for tensor in (*spec.inputs, *spec.outputs))

    @property
    def execution_providers(self) -> list[str]:
        """The providers ONNX Runtime really uses, in its order."""
        return list(self._session.get_providers())

    def new_run(self) -> OnnxRun:
        """See ``Model.new_run``."""
        return OnnxRun()

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        """See ``Model.run``."""
        options = handle.options if isinstance(handle, OnnxRun) else None
        try:
            if self._has_bf16:
                return self._run_with_ort_values(inputs, output_names, options)
            return self._run_session(output_names, inputs, options)
        except _RUN_ERRORS as error:
            raise _serving_error(error, terminated=options is not None and options.terminate) from error

    def _run_with_ort_values(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], options: Any
    ) -> list[Array]:
        """BF16 has no numpy type: its bits go in and out by ``OrtValue``."""
        values = {name: _ort_value(array, self.spec.input_by_name[name]) for name, array in inputs.items()}
        outputs = self._session.run_with_ort_values(list(output_names), values, options)
        specs = self.spec.output_by_name
        return [_array(value, specs[name]) for name, value in zip(output_names, outputs, strict=True)]


def load_onnx_model(path: Path, name: str, version: str, settings: SessionSettings) -> OnnxModel:
    """Check, scan and load the model at ``path``.

    Raises StartupError subclasses whose sentence names cause and remedy.
    """
    try:
        file = find_model_file(path).resolve()
        scan = scan_model_file(file)
    except OSError as error:
        raise ModelNotFoundError(
            f"cannot read the model at {str(path)!r} ({error.strerror}); check its permissions and its volume"
        ) from error
    session = _create_session(file, settings)
    return _describe(session, name, version, scan)


def find_model_file(path: Path) -> Path:
    """Return ``path``, or the one ``*.onnx`` in it when it is a directory (``model.onnx`` wins)."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelNotFoundError(
            f"there is no model at {str(path)!r}; check the path and that it is readable"
        )
    if (path / "model.onnx").is_file():
        return path / "model.onnx"
    candidates = sorted(path.glob("*.onnx"))
    if len(candidates) == 1:
        return candidates[0]
    found = "none" if not candidates else ", ".join(file.name for file in candidates[:5])
    raise ModelNotFoundError(
        f"directory {str(path)!r} must hold model.onnx or exactly one *.onnx file; found {found}"
    )


def warm_up(model: OnnxModel) -> WarmUp:
    """Run small synthetic inputs: fill caches, time a run, and see whether rows can be batched.

    A model may dislike synthetic inputs; that is noted, not fatal.
    """
    elements = sum(count_elements(_synthetic_shape(spec, rows=1)) for spec in model.spec.inputs)
    if elements > _MAX_SYNTHETIC_ELEMENTS:
        return WarmUp(None, elements, False, model.has_loops, "the inputs are too large to make up")
    try:
        inputs = {spec.name: synthetic_input(spec, rows=1) for spec in model.spec.inputs}
        _first_run(model, inputs)
        run_seconds = _median_run_seconds(model, inputs)
    except ServingError as error:
        note = f"the model did not run on synthetic inputs: {error}"
        return WarmUp(None, elements, False, model.has_loops, note)
    try:
        return WarmUp(run_seconds, elements, _is_batchable(model), model.has_loops)
    except ServingError as error:
        note = f"the model did not run on a batch of two: {error}"
        return WarmUp(run_seconds, elements, False, model.has_loops, note)


def _first_run(model: OnnxModel, inputs: Mapping[str, Array]) -> None:
    """Run once, but not for ever: a loop may never end on made-up values."""
    handle = model.new_run()
    timer = threading.Timer(_WARM_UP_LIMIT_SECONDS, handle.stop)
    timer.start()
    try:
        model.run(inputs, model.spec.output_names, handle)
    finally:
        timer.cancel()


def synthetic_input(spec: TensorSpec, rows: int) -> Array:
    """Ones (or short texts) of the input's datatype; ``rows`` in a variable first dimension, 1 in others."""
    shape = _synthetic_shape(spec, rows)
    if spec.datatype is BYTES:
        return np.full(shape, "warm up", dtype=object)
    if spec.datatype is BF16:
        return np.full(shape, 0x3F80, dtype=np.uint16)
    return np.ones(shape, dtype=spec.datatype.numpy)


def _synthetic_shape(spec: TensorSpec, rows: int) -> list[int]:
    shape = [1 if dimension == -1 else dimension for dimension in spec.shape or ()]
    if spec.shape and spec.shape[0] == -1:
        shape[0] = rows
    return shape


def _median_run_seconds(model: OnnxModel, inputs: Mapping[str, Array]) -> float:
    """Median over at most 20 runs or a tenth of a second."""
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 20 and (not times or time.perf_counter() - started < 0.1):
        before = time.perf_counter()
        model.run(inputs, model.spec.output_names)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _is_batchable(model: OnnxModel) -> bool:
    """All first dimensions vary, and two rows in give two rows out."""
    tensors = (*model.spec.inputs, *model.spec.outputs)
    if not model.spec.inputs or any(spec.shape is not None and spec.shape[:1] != (-1,) for spec in tensors):
        return False
    if any(spec.shape is None for spec in model.spec.inputs):
        return False
    inputs = {spec.name: synthetic_input(spec, rows=2) for spec in model.spec.inputs}
    outputs = model.run(inputs, model.spec.output_names)
    return all(output.ndim > 0 and output.shape[0] == 2 for output in outputs)


def _create_session(file: Path, settings: SessionSettings) -> ort.InferenceSession:
    # A model must not bring its own session configuration.
    os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)
    providers = _resolve_providers(settings.execution_providers)
    if "CUDAExecutionProvider" in providers:
        # CUDA's libraries come as Python packages, where the loader does not look by itself.
        ort.preload_dlls()
    try:
        session = ort.InferenceSession(
            str(file), sess_options=_session_options(settings), providers=providers, enable_fallback=0
        )
    except _LOAD_ERRORS as error:
        raise _load_error(error) from error
    session.disable_fallback()
    _check_providers(session.get_providers(), providers, settings.execution_providers)
    return session


def _session_options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL
    # Threads that spin after a run take the CPU from the server's own work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _resolve_providers(names: Sequence[str]) -> list[str]:
    """Full names of the providers asked for; a listed CPU allows others to be missing."""
    available = ort.get_available_providers()
    by_short_name = {name.removesuffix("ExecutionProvider").lower(): name for name in available}
    resolved = [by_short_name.get(name.removesuffix("ExecutionProvider").lower()) for name in names]
    missing = [name for name, found in zip(names, resolved, strict=True) if found is None]
    if missing and "CPUExecutionProvider" not in resolved:
        raise ExecutionProviderUnavailableError(
            f"this image's ONNX Runtime has no {', '.join(missing)} execution provider "
            f"(it has {', '.join(sorted(name.removesuffix('ExecutionProvider') for name in available))}); "
            "use an image built for it, or add CPU to the execution providers to allow a slow fallback"
        )
    return [name for name in resolved if name is not None]


def _check_providers(got: Sequence[str], wanted: Sequence[str], names: Sequence[str]) -> None:
    """ONNX Runtime drops providers silently; without CPU in the list that is an error."""
    lost = [name for name in wanted if name not in got]
    if lost and "CPUExecutionProvider" not in wanted:
        raise ExecutionProviderUnavailableError(
            f"execution provider {', '.join(names)} was asked for, but ONNX Runtime could not start it; "
            "check that the node has a working device and driver, and that the image brings its libraries"
        )


def _describe(session: ort.InferenceSession, name: str, version: str, scan: ModelScan) -> OnnxModel:
    inputs = []
    for node in session.get_inputs():
        spec = _tensor_spec(node, scan)
        if spec is None:
            raise ModelRejectedError(
                f"input {node.name!r} has the type {node.type}, which no protocol can send; "
                "export the model with tensor inputs"
            )
        inputs.append(spec)
    outputs = [(node.name, _tensor_spec(node, scan)) for node in session.get_outputs()]
    specs = tuple(spec for _, spec in outputs if spec is not None)
    skipped = tuple(output for output, spec in outputs if spec is None)
    if not specs:
        raise ModelRejectedError(
            "no output of the model is a tensor of a known datatype; export it with tensor outputs "
            "(for scikit-learn: zipmap=False)"
        )
    signature = ModelSpec(name, version, tuple(inputs), specs)
    return OnnxModel(signature, session, skipped, has_loops=scan.has_loops)


def _tensor_spec(node: Any, scan: ModelScan) -> TensorSpec | None:
    datatype = _DATATYPE_BY_ORT_TYPE.get(node.type)
    if datatype is None:
        return None
    if node.name in scan.unranked and not node.shape:
        return TensorSpec(node.name, datatype, None)
    return TensorSpec(
        node.name, datatype, tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape)
    )


def _ort_value(array: Array, spec: TensorSpec) -> Any:
    if spec.datatype is BF16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
            np.ascontiguousarray(array), _BFLOAT16_ELEMENT_TYPE
        )
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _array(value: Any, spec: TensorSpec) -> Array:
    if spec.datatype is not BF16:
        array: Array = value.numpy()
        return array
    shape = value.shape()
    size_bytes = int(np.prod(shape, dtype=np.int64)) * BF16.item_bytes
    # OrtValue.numpy() knows no bfloat16; the memory behind it is plain and on the CPU.
    bits = ctypes.string_at(value.data_ptr(), size_bytes) if size_bytes else b""
    return np.frombuffer(bits, dtype=np.uint16).reshape(shape)


# A source file with its line, and the C++ signature behind it.
_SOURCE_LOCATION = re.compile(
    r"/?(?:[\w.+-]+/)*[\w+-]+\.(?:cc|h|cpp|cu|cuh):\d+\s+"
    r"(?:[^()]{0,200}::[^()]{0,200}\([^()]{0,2000}\)(?:\s+const)?(?:\s+\[[^\]]*\])?\s+)?"
)
_CODE_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model (?:from )?\S+ failed[:.]")


def _sentence(error: BaseException, limit: int = 400) -> str:
    """ONNX Runtime's message without its error code, source paths and line breaks."""
    text = _CODE_PREFIX.sub("", str(error))
    text = _SOURCE_LOCATION.sub("", text)
    return " ".join(text.split())[:limit].rstrip(" .")


def _serving_error(error: BaseException, *, terminated: bool) -> ServingError:
    sentence = _sentence(error)
    if terminated:
        return DeadlineExceededError("the run was stopped at the request's deadline")
    if isinstance(error, ort_errors.InvalidArgument):
        return InvalidRequestError(f"the model refused the input: {sentence}")
    if isinstance(error, MemoryError) or any(text in sentence for text in _OUT_OF_MEMORY):
        return OutputTooLargeError(
            "the model could not get the memory this input needs; send a smaller input"
        )
    return InferenceFailedError(f"the model failed on this input: {sentence}")


_OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "Integer overflow", "shape.Size() must be")
_LOCALE = re.compile(r"construct locale with name:\s*([\w.@-]+)")


def _load_error(error: BaseException) -> ModelLoadFailedError:
    sentence = _sentence(error)
    locale = _LOCALE.search(str(error))
    if locale:
        return ModelLoadFailedError(
            f"the model's text operators need the locale {locale.group(1).rstrip(':')}, which is missing; "
            "generate it (Debian: package 'locales'), or export the model with locale='C.UTF-8'"
        )
    return ModelLoadFailedError(f"ONNX Runtime cannot load the model: {sentence}")
