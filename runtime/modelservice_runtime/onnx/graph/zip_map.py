"""ZipMaps in a model file: their labels, and the model without them; pure.

Source: ONNX, `onnx.proto` and `ai.onnx.ml.ZipMap`.
"""

from collections.abc import Container

from modelservice_runtime.onnx.graph.compound_outputs import Labels
from modelservice_runtime.onnx.graph.wire import Value, field, fields, parts, spans, text, varint

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


def without_zip_maps(content: memoryview, outputs: Container[str], *, needs_opset: bool) -> bytes:
    """The model with the scores themselves as those of its outputs that ZipMaps make.

    The nodes stay, as Identity, so that names and order do too; `needs_opset` tells that the model has no
    version of the domain that this is from. `content` was scanned before.
    """
    pieces: list[bytes | memoryview] = []
    for number, value, whole in spans(content):
        if number == 7 and isinstance(value, memoryview):
            pieces += field(7, *_edit_graph(value, outputs))
        else:
            pieces.append(whole)
    if needs_opset:
        pieces += field(8, *field(1), b"\x10\x09")
    return b"".join(pieces)


def _edit_graph(graph: memoryview, outputs: Container[str]) -> list[bytes | memoryview]:
    pieces: list[bytes | memoryview] = []
    for number, value, whole in spans(graph):
        if not isinstance(value, memoryview):
            pieces.append(whole)
        elif number == 1 and _is_zip_map(value, outputs):
            kept = [span for kind, _, span in spans(value) if kind in (1, 2, 3)]
            pieces += field(1, *kept, *field(4, b"Identity"))
        elif number in (12, 13) and text(dict(parts(value)).get(1, memoryview(b""))) in outputs:
            tensor = field(1, b"\x08\x01")  # of FP32, and of the shape that follows from the graph
            pieces += field(number, *field(1, dict(parts(value))[1]), *field(2, *tensor))
        else:
            pieces.append(whole)
    return pieces


def _is_zip_map(node: memoryview, outputs: Container[str]) -> bool:
    names = dict(parts(node))
    operator = tuple(text(names.get(number, memoryview(b""))) for number in (7, 4))
    return operator == ZIP_MAP and text(names.get(2, memoryview(b""))) in outputs
