"""The labels of a ZipMap, from its node in a model file; pure.

Source: ONNX, ``onnx.proto`` (NodeProto, AttributeProto) and ``ai.onnx.ml.ZipMap``.
"""

from modelservice_runtime.onnx.compound_outputs import Labels
from modelservice_runtime.onnx.wire import Value, fields, parts, text, varint

# Domain and name of the operator.
ZIP_MAP = ("ai.onnx.ml", "ZipMap")
_LABEL_ATTRIBUTES = frozenset({"classlabels_int64s", "classlabels_strings"})
_MAX_UINT64 = (1 << 64) - 1


def read_labels(node: memoryview) -> Labels:
    """The numbers or texts that the node names, of which it has one kind. Raises ModelLoadFailedError."""
    numbers: list[int] = []
    texts: list[str] = []
    for number, attribute in parts(node):
        if number != 5 or text(dict(parts(attribute)).get(1, memoryview(b""))) not in _LABEL_ATTRIBUTES:
            continue
        for kind, value in fields(attribute):
            if kind == 8:
                numbers += _read_integers(value)
            elif kind == 9 and isinstance(value, memoryview):
                texts.append(text(value))
    return tuple(texts) or tuple(numbers)


def _read_integers(value: Value) -> list[int]:
    """One of a repeated field, or all in its packed form."""
    found, position = [value] if isinstance(value, int) else [], 0
    while isinstance(value, memoryview) and position < len(value):
        one, position = varint(value, position)
        found.append(one)
    return [(one & _MAX_UINT64) - ((one >> 63 & 1) << 64) for one in found]
