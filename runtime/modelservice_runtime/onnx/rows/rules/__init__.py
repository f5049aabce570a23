"""How each operator treats rows, one module per family; pure functions from a call to its outputs' values.

An operator that is in no table stops the proof. Semantics are those of the ONNX operator documents and, for
the domain com.microsoft, of ONNX Runtime's ContribOperators document.
"""

from modelservice_runtime.onnx.rows.call import Rules
from modelservice_runtime.onnx.rows.rules import (
    attention,
    control_flow,
    convolution,
    elementwise,
    indexing,
    linear,
    ml,
    normalization,
    quantized,
    recurrent,
    reductions,
    resampling,
    reshaping,
    shapes,
    text,
)

RULES: Rules = {}
for _family in (
    attention, control_flow, convolution, elementwise, indexing, linear, ml, normalization, quantized,
    recurrent, reductions, resampling, reshaping, shapes, text,
):  # fmt: skip
    RULES.update(_family.RULES)
