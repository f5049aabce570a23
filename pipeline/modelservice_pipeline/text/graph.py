"""Writes ONNX graphs as one writes NumPy: values with operators, loops as functions.

Every operator comes from a stock ONNX Runtime: domains "", "ai.onnx.ml" and "com.microsoft". Integers are
int64 throughout; Python's numbers and NumPy's arrays become constants where they meet a value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

OPSET = 20
"""The first one that joins strings."""
IR_VERSION = 9
_DOMAINS = {"": OPSET, "ai.onnx.ml": 4, "com.microsoft": 1}

STRING = TensorProto.STRING
INT64 = TensorProto.INT64
FLOAT = TensorProto.FLOAT
BOOL = TensorProto.BOOL

Shape: TypeAlias = Sequence[int | str | None]


class Value:
    """A tensor that the graph will compute. Only of use with others of the same graph."""

    __slots__ = ("graph", "name")

    def __init__(self, graph: "Graph", name: str) -> None:
        self.graph = graph
        self.name = name

    def __add__(self, other: "Operand") -> "Value":
        return self.graph.op("Add", self, other)

    def __sub__(self, other: "Operand") -> "Value":
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: "Operand") -> "Value":
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: "Operand") -> "Value":
        """Divide; integers are cut towards zero, as ONNX does."""
        return self.graph.op("Div", self, other)

    def __and__(self, other: "Operand") -> "Value":
        return self.graph.op("And", self, other)

    def __or__(self, other: "Operand") -> "Value":
        return self.graph.op("Or", self, other)

    def __invert__(self) -> "Value":
        return self.graph.op("Not", self)

    def __lt__(self, other: "Value | int") -> "Value":
        return self.graph.op("Less", self, other)

    def __le__(self, other: "Value | int") -> "Value":
        return self.graph.op("LessOrEqual", self, other)

    def __gt__(self, other: "Value | int") -> "Value":
        return self.graph.op("Greater", self, other)

    def __ge__(self, other: "Value | int") -> "Value":
        return self.graph.op("GreaterOrEqual", self, other)

    def equals(self, other: "Operand") -> "Value":
        """Compare element by element."""
        return self.graph.op("Equal", self, other)

    def cast(self, to: int) -> "Value":
        """Convert to a type such as INT64."""
        return self.graph.op("Cast", self, to=to)

    def reshape(self, *shape: int) -> "Value":
        """Give it another shape; 0 keeps a dimension, -1 takes what is left."""
        return self.graph.op("Reshape", self, np.array(shape, np.int64))

    def unsqueeze(self, *axes: int) -> "Value":
        """Insert dimensions of size 1."""
        return self.graph.op("Unsqueeze", self, np.array(axes, np.int64))

    def squeeze(self, *axes: int) -> "Value":
        """Remove dimensions of size 1."""
        return self.graph.op("Squeeze", self, np.array(axes, np.int64))

    def size(self, axis: int) -> "Value":
        """Return the size of a dimension, as a scalar."""
        return self.graph.op("Shape", self, start=axis, end=axis + 1).squeeze(0)

    def shape(self) -> "Value":
        """Return the shape, [rank]."""
        return self.graph.op("Shape", self)

    def gather(self, indices: "Operand", axis: int = 0) -> "Value":
        """Take entries by their numbers, as `numpy.take`; negative ones count from the end."""
        return self.graph.op("Gather", self, indices, axis=axis)

    def compress(self, keep: "Value", axis: int = 0) -> "Value":
        """Keep the entries along an axis where `keep` [size] is true."""
        return self.graph.op("Compress", self, keep, axis=axis)

    def slice(self, start: "Operand", end: "Operand", axis: int = 0) -> "Value":
        """Return entries [start, end) of an axis."""
        bounds = [self.graph.value(bound).reshape(1) for bound in (start, end)]
        return self.graph.op("Slice", self, *bounds, np.array([axis], np.int64))

    def sum(self, *axes: int, keep: bool = False) -> "Value":
        """Add up along axes, or everything to a scalar."""
        return self._reduce("ReduceSum", axes, keep)

    def max(self, *axes: int, keep: bool = False) -> "Value":
        """Return the largest along axes, or of everything."""
        return self._reduce("ReduceMax", axes, keep)

    def any(self) -> "Value":
        """Whether any entry is true, as a scalar; false where there is none."""
        return self.cast(INT64).sum() > 0

    def cumulate(self) -> "Value":
        """Return the running sum [n] of integers or of how many are true."""
        return self.graph.op("CumSum", self.cast(INT64), 0)

    def _reduce(self, operator: str, axes: tuple[int, ...], keep: bool) -> "Value":
        names = (np.array(axes, np.int64),) if axes else ()
        return self.graph.op(operator, self, *names, keepdims=int(keep))


Operand: TypeAlias = Value | bool | int | float | np.ndarray[Any, Any]


class Graph:
    """A graph under construction.

    Example:
        graph = Graph("greet")
        text = graph.input("text", STRING, ["N"])
        graph.output("greeting", graph.op("StringConcat", graph.strings(["Hello "]), text), STRING, ["N"])
        model = graph.model()
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._functions: list[onnx.FunctionProto] = []
        self._opsets = dict(_DOMAINS)
        self._ir_version = IR_VERSION
        self._count = 0

    def input(self, name: str, datatype: int, shape: Shape) -> Value:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, datatype, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, datatype: int, shape: Shape) -> None:
        """Declare a value as an output."""
        self._outputs.append(helper.make_tensor_value_info(name, datatype, shape))
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))

    def value(self, operand: Operand) -> Value:
        """Return the operand as a value: numbers become scalars of int64 or float32."""
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, float):
            return self.constant(np.float32(operand))
        return self.constant(operand)

    def constant(self, array: Any) -> Value:
        """Return a constant; equal ones share their place in the file."""
        array = np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._fresh("constant")
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = Value(self, name)
        return self._constants[key]

    def strings(self, texts: Sequence[str | bytes]) -> Value:
        """Return a constant of strings [n]."""
        name = self._fresh("strings")
        self._initializers.append(_string_tensor(texts, name))
        return Value(self, name)

    def op(self, operator: str, *inputs: Operand | None, domain: str = "", **attributes: Any) -> Value:
        """Apply an operator that has one output; None leaves an optional input out."""
        return self.op_many(operator, 1, *inputs, domain=domain, **attributes)[0]

    def op_many(
        self, operator: str, outputs: int, *inputs: Operand | None, domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """Apply an operator that has several outputs."""
        names = ["" if operand is None else self.value(operand).name for operand in inputs]
        results = tuple(Value(self, self._fresh(operator)) for _ in range(outputs))
        self._nodes.append(
            helper.make_node(
                operator, names, [result.name for result in results], domain=domain, **attributes
            )
        )
        return results

    def where(self, condition: Value, then: Operand, otherwise: Operand) -> Value:
        """Choose element by element."""
        return self.op("Where", condition, then, otherwise)

    def range(self, size: Operand) -> Value:
        """Return 0, 1, ... size - 1."""
        return self.op("Range", 0, size, 1)

    def full(self, shape: Operand, fill: bool | int | float) -> Value:
        """Return a tensor of one value; `shape` is [rank], or a scalar for a vector."""
        entry = np.array([fill], np.float32 if isinstance(fill, float) else None)
        return self.op("ConstantOfShape", self.value(shape).reshape(-1), value=numpy_helper.from_array(entry))

    def concat(self, *values: Operand, axis: int = 0) -> Value:
        """Join along an axis."""
        return self.op("Concat", *values, axis=axis)

    def lookup(
        self,
        keys: Value,
        table: tuple[np.ndarray[Any, Any] | Sequence[str], np.ndarray[Any, Any] | Sequence[str]],
        default: int | str,
    ) -> Value:
        """Look integers or strings up in a hash table of integers or strings."""
        names, values = table
        return self.op(
            "LabelEncoder",
            keys,
            domain="ai.onnx.ml",
            keys_tensor=_tensor(names),
            values_tensor=_tensor(values),
            default_tensor=_tensor([default] if isinstance(default, str) else np.array([default], np.int64)),
        )

    def loop(
        self,
        body: Callable[..., tuple[Value, ...]],
        *initial: Value,
        go_on: Value | None = None,
        most: Operand | None = None,
    ) -> tuple[Value, ...]:
        """Repeat `body`; returns the last state.

        Args:
            body: Takes the iteration number and the state; returns whether to go on, and the new state.
            initial: The first state.
            go_on: Whether to begin at all.
            most: The number of iterations at most.
        """
        with self._subgraph() as nodes:
            iteration, condition, *state = (Value(self, self._fresh("loop")) for _ in range(len(initial) + 2))
            results = [self.op("Identity", result) for result in body(iteration, *state)]
        inputs = [
            helper.make_tensor_value_info(iteration.name, INT64, []),
            helper.make_tensor_value_info(condition.name, BOOL, []),
            *(helper.make_empty_tensor_value_info(value.name) for value in state),
        ]
        outputs = [helper.make_empty_tensor_value_info(value.name) for value in results]
        graph = helper.make_graph(nodes, self._fresh("body"), inputs, outputs)
        return self.op_many("Loop", len(initial), most, go_on, *initial, body=graph)

    def include(self, model: onnx.ModelProto, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Make a whole model a part of this one; returns its outputs by their names.

        Args:
            model: Of opset 20 or newer, without external data.
            inputs: Its inputs by their names.
        """
        part = compose.add_prefix(model, f"{self._fresh('model')}/")
        for before, after in zip(model.graph.input, part.graph.input, strict=True):
            if before.name in inputs:
                self._nodes.append(helper.make_node("Identity", [inputs[before.name].name], [after.name]))
        self._nodes.extend(part.graph.node)
        self._initializers.extend(part.graph.initializer)
        self._functions.extend(part.functions)
        self._ir_version = max(self._ir_version, part.ir_version)
        for opset in part.opset_import:
            self._opsets[opset.domain] = max(opset.version, self._opsets.get(opset.domain, 0))
        names = zip(model.graph.output, part.graph.output, strict=True)
        return {before.name: Value(self, after.name) for before, after in names}

    def model(self) -> onnx.ModelProto:
        """Return the finished file."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=self._initializers
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=self._ir_version,
            functions=self._functions,
            producer_name="modelservice",
        )

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    @contextmanager
    def _subgraph(self) -> Iterator[list[onnx.NodeProto]]:
        """Collect the nodes that are added meanwhile; constants go to the outermost graph."""
        outer, self._nodes = self._nodes, []
        try:
            yield self._nodes
        finally:
            self._nodes = outer


def _tensor(values: np.ndarray[Any, Any] | Sequence[str]) -> onnx.TensorProto:
    if isinstance(values, np.ndarray):
        return numpy_helper.from_array(values)
    return _string_tensor(values, "")


def _string_tensor(texts: Sequence[str | bytes], name: str) -> onnx.TensorProto:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return onnx.TensorProto(name=name, data_type=STRING, dims=[len(encoded)], string_data=encoded)
