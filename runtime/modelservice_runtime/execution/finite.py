"""Whether answers hold NaN or infinite numbers: cheap for a few, one pass without a copy for many; pure."""

from collections.abc import Callable, Sequence
from math import inf, isfinite

import numpy as np

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import BF16, Array, Datatype

# Python adds up so many in the time that one call of numpy takes.
_FEW = 16
# All bits of the exponent, none of the sign and the mantissa; by the datatype's name.
_INFINITY_BITS = {"FP16": 0x7C00, "BF16": 0x7F80}
_SIGN_BIT = 0x8000


def are_finite(spec: ModelSpec, names: Sequence[str], outputs: Sequence[Array]) -> bool:
    """Whether the named outputs of a model hold neither NaN nor infinities; what is no float has none."""
    if spec.gives_numbers:  # the hot path of tiny models
        for output in outputs:
            if output.size > _FEW or not isfinite(sum(output.ravel().tolist())):
                break
        else:
            return True
    floats = spec.float_outputs
    return all(
        name not in floats or is_finite(floats[name], output)
        for name, output in zip(names, outputs, strict=False)
    )


def watch_outputs(spec: ModelSpec, names: Sequence[str], outputs: Sequence[Array]) -> Callable[[], bool]:
    """`are_finite` for arrays that stay where they are; what can be done before is done now."""
    floats = [(spec.float_outputs.get(name), array) for name, array in zip(names, outputs, strict=True)]
    known = [(datatype, array) for datatype, array in floats if datatype is not None]
    if any(datatype is BF16 or array.size > _FEW for datatype, array in known):
        return lambda: are_finite(spec, names, outputs)
    lists = [array.reshape(-1).tolist for _, array in known]
    if len(lists) == 1:
        (tolist,) = lists
        return lambda: isfinite(sum(tolist())) or are_finite(spec, names, outputs)
    return lambda: isfinite(sum([sum(tolist()) for tolist in lists])) or are_finite(spec, names, outputs)


def is_finite(datatype: Datatype, array: Array) -> bool:
    """Whether an array of floats holds neither NaN nor infinities."""
    if datatype is BF16 or (datatype.item_bytes == 2 and array.size > _FEW):
        return _has_finite_bits(array, _INFINITY_BITS[datatype.name])
    # A sum, or one of squares, is NaN or infinite where a number is. `vdot` says nothing of overflows.
    total = sum(array.ravel().tolist()) if array.size <= _FEW else np.vdot(array, array)
    if isfinite(total):
        return True
    # Finite numbers never give NaN here, but large ones an infinity.
    return bool(total == total and array.max() < inf and array.min() > -inf)


def _has_finite_bits(array: Array, infinity: int) -> bool:
    """The same for 16 bits, as integers: numpy has no fast arithmetic for them.

    As signed ones the positive infinity and NaNs are the largest, as unsigned ones the negative.
    """
    if not array.size:
        return True
    return bool(array.view(np.int16).max() < infinity and array.view(np.uint16).max() < infinity | _SIGN_BIT)
