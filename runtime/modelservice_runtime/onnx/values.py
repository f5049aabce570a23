"""Arrays to ONNX Runtime's values and back, and values at fixed places in a device's memory."""

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort

from modelservice_runtime.model import ModelSpec, PreparedRun
from modelservice_runtime.onnx.errors import RUN_ERRORS
from modelservice_runtime.tensors import BF16, Array, TensorSpec, contiguous

_BFLOAT16_ELEMENT_TYPE = 16  # onnx.TensorProto.BFLOAT16


def to_ort_value(array: Array, spec: TensorSpec) -> Any:
    """An `OrtValue` over the array; BF16, which numpy lacks, by its bits."""
    if spec.datatype is BF16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(contiguous(array), _BFLOAT16_ELEMENT_TYPE)
    return ort.OrtValue.ortvalue_from_numpy(contiguous(array))


def to_array(value: Any, spec: TensorSpec) -> Array:
    """The array of an `OrtValue` in the CPU's memory."""
    if spec.datatype is not BF16:
        array: Array = value.numpy()
        return array
    shape = value.shape()
    size_bytes = int(np.prod(shape, dtype=np.int64)) * BF16.item_bytes
    # OrtValue.numpy() knows no bfloat16; the memory behind it is plain and on the CPU.
    bits = ctypes.string_at(value.data_ptr(), size_bytes) if size_bytes else b""
    return np.frombuffer(bits, dtype=np.uint16).reshape(shape)


class FixedBinding:
    """Runs a model of fixed shapes on values that stay where they are, as CUDA graphs need it.

    Runs take turns: the memory is shared. `device` is `cuda` or `cpu`.
    """

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec, device: str, device_id: int) -> None:
        self._session = session
        self._turn = threading.Lock()
        self._inputs = {tensor.name: _allocate(tensor, device, device_id) for tensor in spec.inputs}
        self._outputs = {tensor.name: _allocate(tensor, device, device_id) for tensor in spec.outputs}
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, inputs: Mapping[str, Array], output_names: Sequence[str], options: Any) -> list[Array]:
        """Copy the inputs to the device, run, and copy the named outputs back."""
        with self._turn:
            for name, value in self._inputs.items():
                value.update_inplace(contiguous(inputs[name]))
            self._session.run_with_iobinding(self._binding, options)
            # numpy() may give a view of the memory that the next run writes to.
            return [np.array(self._outputs[name].numpy()) for name in output_names]


class HostBinding:
    """Runs a model on arrays that stay where they are, in the CPU's memory; see `PreparedRun`.

    ONNX Runtime refuses to write an output of another shape to them.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        tell: Callable[[Exception, PreparedRun], None],
    ) -> None:
        """`tell` raises what a failed run means to the client, and returns where `Model.run` can do it."""
        self._tell = tell
        self.inputs = {name: np.empty(array.shape, array.dtype) for name, array in inputs.items()}
        arrays = {name: np.empty(array.shape, array.dtype) for name, array in outputs.items()}
        self.outputs = tuple(arrays.values())
        self._binding = session.io_binding()
        for bind, bound in (
            (self._binding.bind_input, self.inputs),
            (self._binding.bind_output, arrays),
        ):
            for name, array in bound.items():
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        # Below the public classes, as in `OnnxModel`: they only check arguments, with every call.
        low_level = getattr(session, "_sess", session), getattr(self._binding, "_iobinding", self._binding)
        self._run = partial(low_level[0].run_with_iobinding, low_level[1], None)

    def run(self) -> bool:
        """See `PreparedRun.run`."""
        try:
            self._run()
        except RUN_ERRORS as error:
            self._tell(error, self)
            return False
        return True


def _allocate(tensor: TensorSpec, device: str, device_id: int) -> Any:
    assert tensor.shape is not None
    return ort.OrtValue.ortvalue_from_shape_and_type(
        list(tensor.shape), tensor.datatype.numpy.type, device, device_id
    )
