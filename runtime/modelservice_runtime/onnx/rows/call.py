"""What a rule sees of a node: its inputs' values, its attributes and the version of its operator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelservice_runtime.onnx.rows.graph_file import Attribute, Constant, Graph, Node, read_graph
from modelservice_runtime.onnx.rows.sizes import MixingError, Number, Size, Symbols
from modelservice_runtime.onnx.rows.values import Tensor, Value


class Interpreter(Protocol):
    """Follows a graph inside a node, which may use names of the graphs around it."""

    def run_body(self, body: Graph, inputs: Sequence[Value]) -> list[Value]:
        """The values of the body's outputs."""


@dataclass(frozen=True, slots=True)
class Call:
    """One node as a rule sees it. `inputs` holds None for those left out, and no mixed value."""

    node: Node
    version: int
    inputs: tuple[Tensor | None, ...]
    symbols: Symbols
    interpreter: Interpreter
    # Attributes of the call around it, where the node is part of a function.
    outer: Mapping[str, Attribute] | None = None

    def get(self, at: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[at] if at < len(self.inputs) else None

    def tensor(self, at: int) -> Tensor:
        """An input that has to be there."""
        found = self.get(at)
        if found is None:
            raise MixingError(f"it has no input {at}")
        return found

    def check_fixed(self, *places: int) -> None:
        """Raise MixingError where one of these inputs has rows."""
        for at in places:
            found = self.get(at)
            if found is not None and not found.is_fixed:
                raise MixingError(f"its input {at} is another one for every row")

    def has(self, at: int) -> bool:
        """True where this input is given."""
        return self.get(at) is not None

    def values(self, at: int) -> tuple[Number, ...] | None:
        """The known numbers of an input."""
        found = self.get(at)
        return None if found is None else found.values

    def constants(self, at: int) -> tuple[int, ...] | None:
        """The numbers of an input, where all are whole and known before any request."""
        values = self.values(at)
        if values is None:
            return None
        known = [value.constant for value in values if isinstance(value, Size)]
        if len(known) != len(values):
            return None
        numbers = tuple(number for number in known if number is not None)
        return numbers if len(numbers) == len(values) else None

    def attribute(self, name: str) -> Attribute | None:
        """An attribute, also where it stands in the call of the function around the node."""
        content = self.node.attributes.get(name)
        if content is None:
            return None
        return resolved(Attribute(content), self.outer)

    def integer(self, name: str, default: int) -> int:
        """An attribute of one integer."""
        found = self.attribute(name)
        number = None if found is None else found.integer()
        # protobuf leaves a zero out where it is the default of the field
        return default if found is None else number or 0

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute of integers; None where it is left out."""
        found = self.attribute(name)
        return None if found is None else found.integers()

    def text(self, name: str, default: str) -> str:
        """An attribute of one text."""
        found = self.attribute(name)
        return default if found is None else found.text() or ""

    def graph(self, name: str) -> Graph:
        """An attribute that is a graph."""
        found = self.attribute(name)
        content = None if found is None else found.message(6)
        if content is None:
            raise MixingError(f"it has no graph {name!r}")
        return read_graph(content)

    def axes(self, at: int, rank: int) -> tuple[int, ...] | None:
        """Axes from the attribute `axes` or from input `at`, from 0; None where none are given."""
        given = self.integers("axes")
        if given is None and self.has(at):
            given = self.constants(at)
            if given is None:
                raise MixingError("its axes are not known before a request")
        return None if given is None else tuple(whole_axis(axis, rank) for axis in given)

    def axis(self, default: int, rank: int) -> int:
        """The attribute `axis`, from 0."""
        return whole_axis(self.integer("axis", default), rank)

    def symbolic(self, how: str, *operands: Number) -> Size:
        """A size that these numbers, and this node's attributes, determine."""
        return self.symbols.derived(how, *operands)


def resolved(attribute: Attribute, outer: Mapping[str, Attribute] | None) -> Attribute | None:
    """An attribute, or the one of the call around a function that it names; None where that lacks it.

    Raises MixingError outside of functions, where ONNX Runtime would not look at the name.
    """
    if not attribute.reference:
        return attribute
    if outer is None:
        raise MixingError("it names an attribute of a call, but stands in no function")
    return outer.get(attribute.reference)


def to_tensor(constant: Constant) -> Tensor:
    """A constant of the file as a value."""
    values = constant.values
    numbers = None if values is None else tuple(to_number(value) for value in values)
    return Tensor(tuple(map(Size, constant.dims)), values=numbers)


def to_number(value: int | float) -> Number:
    """A number of the file; truth values count as whole ones."""
    return value if isinstance(value, float) else Size(int(value))


def whole_axis(axis: int, rank: int) -> int:
    """`axis` counted from 0. Raises MixingError outside of the rank."""
    if not -rank <= axis < rank:
        raise MixingError(f"its axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


@dataclass(frozen=True, slots=True)
class Rule:
    """How an operator treats rows.

    `apply` gives the values of the outputs or raises MixingError. `sizes`: inputs that may hold the
    number of rows, because they only say a shape. `keeps_values`: all inputs may hold it, and an output
    then has known values too. `places`, `padded` and `row_indices`: knows what to do with
    such inputs. `strict`: its results may vary though its inputs do not.
    """

    apply: Callable[[Call], list[Value]]
    sizes: frozenset[int] = frozenset()
    keeps_values: bool = False
    places: bool = False
    padded: bool = False
    row_indices: bool = False
    strict: bool = False


Rules = dict[tuple[str, str], Rule]
