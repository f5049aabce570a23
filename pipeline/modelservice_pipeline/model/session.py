"""Runs an ONNX file in this process."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port as Port

_DTYPES: dict[str, str] = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(string)": "object",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(uint8)": "uint8",
}


class OnnxModel:
    """A loaded ONNX file, or the one in a folder. Raises PipelineError where ONNX Runtime refuses it.

    The session runs one operator at a time on one thread, as the server does with a CPU of its own.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        path = _find_file(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is worse than a warning is raised, and told by its sentence
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each status, all of Exception
            raise PipelineError(f"{path} cannot be loaded: {_first_line(error)}") from None
        self.path = path
        told = self._session.get_modelmeta().custom_metadata_map
        inputs = tuple(_port(value) for value in self._session.get_inputs())
        features = _read_names(told, "features") if len(inputs) == 1 else ()
        self.inputs = tuple(_with_names(port, features) for port in inputs)
        classes = _read_names(told, "classes")
        outputs = (_port(value) for value in self._session.get_outputs())
        self.outputs = tuple(
            _with_names(port, classes if port.dtype.startswith("float") else ()) for port in outputs
        )

    def run(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        """Run it once; returns the outputs by their names. Raises PipelineError."""
        names = [port.name for port in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, inputs), strict=True))
        except Exception as error:  # noqa: BLE001 - as above
            raise PipelineError(f"{self.path} refuses the input: {_first_line(error)}") from None


def write_adapter(path: Path, inputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write ONNX Runtime's file of an adapter: values of a graph's optional inputs."""
    adapter = onnxruntime.AdapterFormat()
    adapter.set_parameters(
        {name: onnxruntime.OrtValue.ortvalue_from_numpy(values) for name, values in inputs.items()}
    )
    path.parent.mkdir(exist_ok=True)
    adapter.export_adapter(str(path))


def _find_file(path: Path) -> Path:
    """The file, or the one of a folder. Raises PipelineError where a folder has none, or several."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:9]) or "none"
        raise PipelineError(f"{path} is a folder with other than one ONNX file ({names}); name the file")
    return found[0]


def _port(value: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Port(value.name, _DTYPES.get(value.type, value.type), shape)


def _read_names(told: Mapping[str, str], key: str) -> tuple[str, ...]:
    """Return the names that a file's metadata has as a JSON list; none where it is something else."""
    try:
        found = json.loads(told.get(key, "[]"))
    except ValueError:
        return ()
    is_list = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return tuple(found) if is_list and len(set(found)) == len(found) else ()


def _with_names(port: Port, names: tuple[str, ...]) -> Port:
    """Return the port with the names, where a row can have as many numbers."""
    is_row = len(port.shape) == 2 and port.shape[1] in (None, len(names))
    return replace(port, names=names) if is_row else port


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
