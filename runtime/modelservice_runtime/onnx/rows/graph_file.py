"""Reads graphs, functions and small constants out of a serialized model, without copying weights.

Field numbers are those of onnx/onnx.proto. A message that protobuf would merge from several fields is
refused: no exporter writes that.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modelservice_runtime.onnx.graph.wire import MAX_TEXT_BYTES, fields, parts, varint
from modelservice_runtime.onnx.rows.sizes import MixingError
from modelservice_runtime.onnx.rows.values import MAX_VALUES

# TensorProto.DataType: struct's format, and the field in which values stand that are not in raw_data. Sizes
# and conditions are computed in these; arithmetic in shorter types would wrap around where ours does not.
_FORMATS: dict[int, tuple[str, int]] = {
    1: ("f", 4), 6: ("i", 5), 7: ("q", 7), 9: ("B", 5), 11: ("d", 10),
}  # fmt: skip
# Of types that stand in fields of a wider one: what is beyond would be cut down as it is read.
_RANGES = {"i": range(-(1 << 31), 1 << 31), "B": range(2)}
_NO_BYTES = memoryview(b"")
# More of these come from no exporter: nodes, constants, inputs and outputs of a graph, and parts of a node.
_MAX_PARTS = 1_000_000
_MAX_NODE_PARTS = 20_000


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor of the file; `values` are None where they are many, elsewhere, or no plain numbers."""

    dims: tuple[int, ...]
    values: tuple[int | float, ...] | None


@dataclass(frozen=True, slots=True)
class Declared:
    """A graph's input or output; `dims` is None without a rank, a dimension -1 where it varies."""

    name: str
    is_tensor: bool
    dims: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Node:
    """One node; its attributes are read when they are asked for."""

    name: str
    domain: str
    operator: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, memoryview]

    @property
    def label(self) -> str:
        """How people find the node: its name, or its first output's, and its operator."""
        name = self.name or next((output for output in self.outputs if output), "")
        kind = self.operator if self.domain in ("", "ai.onnx.ml") else f"{self.domain}.{self.operator}"
        return f"{readable(name)!r} ({readable(kind)})"


@dataclass(slots=True)
class Graph:
    """A graph, or a function's body. Constants stay bytes until somebody needs them."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Declared] = field(default_factory=list)
    outputs: list[Declared] = field(default_factory=list)
    constants: dict[str, memoryview] = field(default_factory=dict)
    sparse_constants: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Function:
    """A function of the model; `defaults` are attributes that a call may leave out."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    defaults: dict[str, memoryview] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class ModelFile:
    """The parts of a ModelProto that say what it computes."""

    graph: Graph = field(default_factory=Graph)
    opsets: dict[str, int] = field(default_factory=dict)
    functions: dict[tuple[str, str, str], Function] = field(default_factory=dict)


def readable(text: str) -> str:
    """A name out of the file as valid text of bounded length."""
    return text.encode("utf-8", "replace").decode()[:120]


def read_model(content: memoryview) -> ModelFile:
    """Read a serialized ModelProto. Raises ModelLoadFailedError, MixingError."""
    model = ModelFile()
    for number, value in parts(content):
        if number == 7:
            _read_graph_into(value, model.graph)
        elif number == 8:
            _read_opset(value, model.opsets)
        elif number == 25:
            _read_function(value, model)
    return model


def read_graph(content: memoryview) -> Graph:
    """Read a serialized GraphProto."""
    graph = Graph()
    _read_graph_into(content, graph)
    return graph


def _read_graph_into(content: memoryview, graph: Graph) -> None:
    for at, (number, value) in enumerate(parts(content)):
        if at > _MAX_PARTS:
            raise MixingError("the graph has more parts than any exporter writes")
        if number == 1:
            graph.nodes.append(_read_node(value))
        elif number == 5:
            graph.constants[_name_within(value, 8)] = value
        elif number == 11:
            graph.inputs.append(_read_declared(value))
        elif number == 12:
            graph.outputs.append(_read_declared(value))
        elif number == 15:
            graph.sparse_constants.add(_name_within(_single(value, 1), 8))


def _read_opset(content: memoryview, opsets: dict[str, int]) -> None:
    domain, version = "", 0
    for number, value in fields(content):
        if number == 1 and isinstance(value, memoryview):
            domain = _name(value)
        elif number == 2 and isinstance(value, int):
            version = value
    opsets["" if domain == "ai.onnx" else domain] = version


def _read_function(content: memoryview, model: ModelFile) -> None:
    function = Function()
    texts: dict[int, str] = {}
    for number, value in parts(content):
        if number in (1, 10, 13):
            texts[number] = _name(value)
        elif number == 4:
            function.inputs.append(_name(value))
        elif number == 5:
            function.outputs.append(_name(value))
        elif number == 7:
            function.nodes.append(_read_node(value))
        elif number == 9:
            _read_opset(value, function.opsets)
        elif number == 11:
            function.defaults[_name_within(value, 1)] = value
    key = (_plain_domain(texts.get(10, "")), texts.get(1, ""), texts.get(13, ""))
    if key in model.functions:
        raise MixingError(f"the function {readable(key[1])!r} is defined twice")
    model.functions[key] = function


def _plain_domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _read_node(content: memoryview) -> Node:
    texts: dict[int, str] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, memoryview] = {}
    for at, (number, value) in enumerate(parts(content)):
        if at > _MAX_NODE_PARTS:
            raise MixingError("a node has more parts than any exporter writes")
        if number == 1:
            inputs.append(_name(value))
        elif number == 2:
            outputs.append(_name(value))
        elif number in (3, 4, 7, 8):
            texts[number] = _name(value)
        elif number == 5:
            name = _name_within(value, 1)
            if name in attributes:
                raise MixingError(f"a node has the attribute {readable(name)!r} twice")
            attributes[name] = value
    return Node(
        texts.get(3, ""),
        _plain_domain(texts.get(7, "")),
        texts.get(4, ""),
        texts.get(8, ""),
        tuple(inputs),
        tuple(outputs),
        attributes,
    )


def _read_declared(content: memoryview) -> Declared:
    name = _name_within(content, 1)
    kinds = list(parts(_single(content, 2)))
    tensors = [value for number, value in kinds if number == 1]
    if len(tensors) != 1 or any(number not in (1, 6) for number, _ in kinds):
        return Declared(name, is_tensor=False, dims=None)
    shapes = [value for number, value in parts(tensors[0]) if number == 2]
    if len(shapes) != 1:
        return Declared(name, is_tensor=True, dims=None)
    dims = tuple(_declared_dim(value) for number, value in parts(shapes[0]) if number == 1)
    return Declared(name, is_tensor=True, dims=dims)


def _declared_dim(content: memoryview) -> int:
    found = -1
    for number, value in fields(content):
        if number in (1, 2):  # one of them: the last one counts
            found = _signed(value) if isinstance(value, int) else -1
    return max(found, -1)


def read_constant(content: memoryview) -> Constant:
    """Read a serialized TensorProto; its values only where they are few and in the file."""
    dims: list[int] = []
    found: dict[int, list[memoryview | int]] = {}
    data_type, external = 0, False
    for number, value in fields(content):
        if number == 1:
            dims += _integers(value)
        elif number == 2 and isinstance(value, int):
            data_type = value
        elif number in (13, 14):
            external = external or value != 0
        elif number in (4, 5, 7, 9, 10, 11):
            found.setdefault(number, []).append(value)
    count = 1
    for dim in dims:
        count *= dim
    readable_type = data_type in _FORMATS and not external and 0 <= count <= MAX_VALUES
    return Constant(tuple(dims), _values(data_type, count, found) if readable_type else None)


def _values(
    data_type: int, count: int, found: dict[int, list[memoryview | int]]
) -> tuple[int | float, ...] | None:
    letter, typed_field = _FORMATS[data_type]
    raw = found.get(9, [])
    if len(raw) > 1 or (raw and typed_field in found):
        return None
    if raw:
        content = raw[0]
        layout = struct.Struct(f"<{count}{letter}")
        if isinstance(content, int) or len(content) != layout.size:
            return None
        values = layout.unpack(content)
    elif letter in ("f", "d"):
        values = tuple(_floats(found.get(typed_field, []), letter))
    else:
        values = tuple(number for value in found.get(typed_field, []) for number in _integers(value))
    fits = letter not in _RANGES or all(value in _RANGES[letter] for value in values)
    return values if len(values) == count and fits else None


def _floats(chunks: Sequence[memoryview | int], letter: str) -> Iterator[float]:
    size = struct.calcsize(letter)
    for chunk in chunks:
        if isinstance(chunk, memoryview) and len(chunk) % size == 0:
            yield from struct.unpack(f"<{len(chunk) // size}{letter}", chunk)


def _integers(value: int | memoryview) -> list[int]:
    """Integers of a repeated field, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    found = []
    position = 0
    while position < len(value):
        number, position = varint(value, position)
        found.append(_signed(number))
    return found


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _name(value: memoryview) -> str:
    """A name as it can be compared: different bytes give different texts."""
    if len(value) > MAX_TEXT_BYTES:
        raise MixingError("a name in the graph is longer than any exporter writes")
    return bytes(value).decode("utf-8", "surrogateescape")


def _name_within(content: memoryview, wanted: int) -> str:
    name = ""
    for number, value in parts(content):
        if number == wanted:
            name = _name(value)
    return name


def _single(content: memoryview, wanted: int) -> memoryview:
    """The message in field `wanted`, empty where there is none."""
    found = [value for number, value in parts(content) if number == wanted]
    if len(found) > 1:
        raise MixingError("a message in the file is written in several parts")
    return found[0] if found else _NO_BYTES


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's value, whichever field holds it; `reference` names one of the calling node."""

    content: memoryview

    @property
    def reference(self) -> str:
        """The name of the calling node's attribute that stands here, or an empty text."""
        return _name_within(self.content, 21)

    @property
    def kind(self) -> int:
        """Its AttributeProto.AttributeType, which says which field ONNX Runtime reads."""
        kinds = [value for number, value in fields(self.content) if number == 20 and isinstance(value, int)]
        return kinds[-1] if kinds else 0

    def integer(self) -> int | None:
        """The field `i`."""
        numbers = [value for number, value in fields(self.content) if number == 3 and isinstance(value, int)]
        return _signed(numbers[-1]) if numbers else None

    def integers(self) -> tuple[int, ...]:
        """The field `ints`."""
        return tuple(n for number, value in fields(self.content) if number == 8 for n in _integers(value))

    def real(self) -> float | None:
        """The field `f`."""
        floats = [value for number, value in parts(self.content) if number == 2 and len(value) == 4]
        return float(struct.unpack("<f", floats[-1])[0]) if floats else None

    def reals(self) -> tuple[float, ...]:
        """The field `floats`."""
        return tuple(_floats([value for number, value in parts(self.content) if number == 7], "f"))

    def text(self) -> str | None:
        """The field `s`."""
        texts = [value for number, value in parts(self.content) if number == 4]
        return bytes(texts[-1]).decode("utf-8", "surrogateescape") if texts else None

    def texts(self) -> Iterator[bytes]:
        """The field `strings`."""
        return (bytes(value) for number, value in parts(self.content) if number == 9)

    def message(self, number: int) -> memoryview | None:
        """The tensor (5) or graph (6) within."""
        found = [value for field_number, value in parts(self.content) if field_number == number]
        if len(found) > 1:
            raise MixingError("an attribute is written in several parts")
        return found[0] if found else None
