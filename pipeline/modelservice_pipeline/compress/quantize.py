"""Weights of 8 bits, by ONNX Runtime's own quantizer; the one module that imports it."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.transformers.float16 import convert_float_to_float16

from modelservice_pipeline.compress.graph import all_graphs
from modelservice_pipeline.compress.write import BIG_BYTES, write_model
from modelservice_pipeline.errors import PipelineError

_CNN_OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Transpose",
)  # fmt: skip
"""What keeps activations of 8 bits between convolutions."""
_DENSE_OPERATORS = ("Gather", "Gemm", "MatMul")
"""Elsewhere only the products: normalizations and softmax lose much and gain nothing."""


def quantize_weights(model: ModelProto, path: Path, *, per_channel: bool, reduce_range: bool) -> None:
    """Write the model with weights of 8 bits; activations are quantized while it runs.

    Args:
        model: As `prepare` returns it.
        path: Where to.
        per_channel: A scale for each output channel instead of one for a tensor.
        reduce_range: 7 bits, as CPUs without VNNI saturate in sums of 8-bit products.

    Raises PipelineError where the quantizer cannot.
    """
    has_subgraphs = sum(1 for _ in all_graphs(model.graph)) > 1
    # Bodies of loops too; where the quantizer cannot, the main graph alone.
    attempts = ({"EnableSubgraph": True}, {}) if has_subgraphs else ({},)
    for last, extra in enumerate(attempts, start=1):
        try:
            with _told_as_error():
                quantize_dynamic(
                    _copy(model),
                    path,
                    per_channel=per_channel,
                    reduce_range=reduce_range,
                    use_external_data_format=model.ByteSize() > BIG_BYTES,
                    extra_options=dict(extra),
                )
            return
        except PipelineError:
            if last == len(attempts):
                raise


def quantize_all(
    model: ModelProto, path: Path, rows: Sequence[dict[str, np.ndarray[Any, Any]]], *, reduce_range: bool
) -> None:
    """Write the model with weights and activations of 8 bits, whose ranges are those of some rows.

    Args:
        model: As `prepare` returns it.
        path: Where to.
        rows: Inputs to calibrate with, each what one run takes.
        reduce_range: As in `quantize_weights`.

    Raises PipelineError where the quantizer cannot.
    """
    has_convolutions = any(node.op_type == "Conv" for node in model.graph.node)
    with _told_as_error():
        quantize_static(
            _copy(model),
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


def halve_floats(model: ModelProto, path: Path) -> None:
    """Write the model with weights and sums of 16 bits; inputs and outputs keep their types.

    Raises PipelineError where the converter cannot.
    """
    with _told_as_error():
        write_model(convert_float_to_float16(_copy(model), keep_io_types=True), path)


def _copy(model: ModelProto) -> ModelProto:
    """What it is given it changes: weights move to files that it then deletes."""
    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, rows: Sequence[dict[str, np.ndarray[Any, Any]]]) -> None:
        self._left = iter(rows)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._left, None)


@contextlib.contextmanager
def _told_as_error() -> Iterator[None]:
    """Keep the quantizer's own words from the terminal, and make one sentence of its exceptions."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # noqa: BLE001 - it raises whatever its operators' code runs into
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise PipelineError(f"the quantizer cannot: {lines[0][:300]}") from None
    finally:
        logging.disable(logging.NOTSET)
