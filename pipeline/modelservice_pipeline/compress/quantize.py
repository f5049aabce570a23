"""Weights of 8 bits, by ONNX Runtime's own quantizer; the one module that imports it.

It runs in a process of its own: `onnx.shape_inference`, which it calls, ends the process on some graphs.
"""

import contextlib
import io
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.transformers.float16 import convert_float_to_float16

from modelservice_pipeline.compress.graph import all_graphs, read_facts
from modelservice_pipeline.compress.write import BIG_BYTES, write_model
from modelservice_pipeline.errors import PipelineError

_AXIS_OPSET = 13
Rows = Sequence[dict[str, np.ndarray[Any, Any]]]

_CNN_OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Transpose",
)  # fmt: skip
"""What keeps activations of 8 bits between convolutions."""
_DENSE_OPERATORS = ("Gather", "Gemm", "MatMul")
"""Elsewhere only the products: normalizations and softmax lose much and gain nothing."""


def quantize_weights(source: Path, path: Path, *, per_channel: bool, reduce_range: bool) -> None:
    """Write a model with weights of 8 bits; activations are quantized while it runs.

    Args:
        source: A file as `prepare` makes it.
        path: Where to.
        per_channel: A scale for each output channel instead of one for a tensor.
        reduce_range: 7 bits, as CPUs without VNNI saturate in sums of 8-bit products.

    Raises PipelineError where the quantizer cannot.
    """
    _isolated(_quantize_weights, source, path, per_channel, reduce_range)


def quantize_all(source: Path, path: Path, rows: Rows, *, reduce_range: bool) -> None:
    """Write a model with weights and activations of 8 bits, whose ranges are those of some rows.

    Args:
        source: A file as `prepare` makes it.
        path: Where to.
        rows: Inputs to calibrate with, each what one run takes.
        reduce_range: As in `quantize_weights`.

    Raises PipelineError where the quantizer cannot.
    """
    _isolated(_quantize_all, source, path, rows, reduce_range)


def halve_floats(source: Path, path: Path) -> None:
    """Write a model with weights and sums of 16 bits; inputs and outputs keep their types.

    Raises PipelineError where the converter cannot.
    """
    _isolated(_halve_floats, source, path)


def _isolated(function: Callable[..., None], *arguments: Any) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        try:
            executor.submit(_told_as_error, function, arguments).result()
        except BrokenProcessPool:
            raise PipelineError("the quantizer crashes on this graph") from None


def _told_as_error(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Keep the quantizer's own words from the terminal, and make one sentence of its exceptions."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            function(*arguments)
    except Exception as error:  # noqa: BLE001 - it raises whatever its operators' code runs into
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PipelineError(f"the quantizer cannot: {lines[0][:300]}") from None
    finally:
        logging.disable(logging.NOTSET)


def _quantize_weights(source: Path, path: Path, per_channel: bool, reduce_range: bool) -> None:
    for last, extra in _attempts(onnx.load(source)):
        try:
            model = onnx.load(source)  # again: it changes what it is given
            quantize_dynamic(
                model,
                path,
                per_channel=per_channel,
                reduce_range=reduce_range,
                use_external_data_format=model.ByteSize() > BIG_BYTES,
                extra_options=extra,
            )
        except Exception:
            if last:
                raise
        else:
            return


def _attempts(model: ModelProto) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yield options, and whether they are the last: bodies of loops too, then the main graph alone."""
    if sum(1 for _ in all_graphs(model.graph)) > 1:
        yield False, {"EnableSubgraph": True}
    yield True, {}


def _quantize_all(source: Path, path: Path, rows: Rows, reduce_range: bool) -> None:
    model = _with_scales_by_channel(onnx.load(source))
    has_convolutions = any(node.op_type == "Conv" for node in model.graph.node)
    quantize_static(
        model,
        path,
        _Rows(rows),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(_CNN_OPERATORS if has_convolutions else _DENSE_OPERATORS),
        per_channel=True,
        reduce_range=reduce_range,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=model.ByteSize() > BIG_BYTES,
        extra_options={"MatMulConstBOnly": True},
    )


def _with_scales_by_channel(model: ModelProto) -> ModelProto:
    """Return the model in an opset whose DequantizeLinear has an axis."""
    opset = read_facts(model).opset
    return model if opset >= _AXIS_OPSET else onnx.version_converter.convert_version(model, _AXIS_OPSET)


def _halve_floats(source: Path, path: Path) -> None:
    write_model(convert_float_to_float16(onnx.load(source), keep_io_types=True), path)


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, rows: Rows) -> None:
        self._left = iter(rows)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._left, None)
