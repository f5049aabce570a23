"""Random numbers inside a graph, computed from a seed and a counter: no state, so nothing can disturb them.

The operators of ONNX that draw numbers keep a state in the session: what a caller gets depends on who came
before. A hash of seed and counter gives each row its own numbers, whatever else is in its batch.
"""

import numpy as np
from onnx import TensorProto

from modelservice_pipeline.text.graph import Value

_MASK = 2**32 - 1
# A finalizer of 32 bits with low bias, found by search: github.com/skeeto/hash-prospector, "lowbias32".
_SHIFTS = (16, 15, 16)
_FACTORS = (0x7FEB352D, 0x846CA68B)


def uniform(seed: Value, counter: Value) -> Value:
    """Return numbers in (0, 1), as many as there are seeds.

    Args:
        seed: int64 [N]; all 64 bits count.
        counter: int64, a scalar, 0 or more: which number of the seed's sequence.

    Returns:
        float64 [N], multiples of 2**-32 and half a step more.
    """
    graph = seed.graph
    low = graph.op("BitwiseAnd", seed, _MASK)
    high = graph.op("BitwiseAnd", (seed - low) / 2**32, _MASK)
    state = _mix(low)
    for word in (high, graph.op("BitwiseAnd", counter, _MASK)):
        state = _mix(graph.op("BitwiseXor", state, word))
    return (state.cast(TensorProto.DOUBLE) + np.array(0.5)) / np.array(2.0**32)


def _mix(word: Value) -> Value:
    """Hash 32 bits, kept in int64: shifts to the right are divisions there."""
    graph = word.graph
    for shift, factor in zip(_SHIFTS, (*_FACTORS, None), strict=True):
        word = graph.op("BitwiseXor", word, word / 2**shift)
        if factor is not None:
            # The same modulo 2**32, and small enough that no product leaves 63 bits.
            signed = factor if factor < 2**31 else factor - 2**32
            word = graph.op("BitwiseAnd", word * signed, _MASK)
    return word
