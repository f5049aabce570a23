"""Runs an ONNX file in this process."""

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
    """A loaded ONNX file. Raises PipelineError where ONNX Runtime refuses it.

    The session runs one operator at a time on one thread, as the server does with a CPU of its own.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is worse than a warning is raised, and told by its sentence
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each status, all of Exception
            raise PipelineError(f"{path} cannot be loaded: {_first_line(error)}") from None
        self.path = path
        self.inputs = tuple(_port(value) for value in self._session.get_inputs())
        self.outputs = tuple(_port(value) for value in self._session.get_outputs())

    def run(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        """Run it once; returns the outputs by their names. Raises PipelineError."""
        names = [port.name for port in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, inputs), strict=True))
        except Exception as error:  # noqa: BLE001 - as above
            raise PipelineError(f"{self.path} refuses the input: {_first_line(error)}") from None


def _port(value: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Port(value.name, _DTYPES.get(value.type, value.type), shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
