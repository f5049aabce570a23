"""Follows a graph node by node, with what is known of each tensor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelservice_runtime.onnx.rows.call import Call, Rule, resolved, to_tensor
from modelservice_runtime.onnx.rows.graph_file import (
    Attribute,
    Function,
    Graph,
    ModelFile,
    Node,
    read_constant,
    readable,
)
from modelservice_runtime.onnx.rows.rules import RULES
from modelservice_runtime.onnx.rows.sizes import MixingError, Symbols
from modelservice_runtime.onnx.rows.values import MAX_RANK, UNKNOWN, Mixed, Tensor, Value

# The newest versions whose operators the rules were written for, and the oldest that ONNX Runtime runs.
_VERSIONS = {"": (7, 28), "ai.onnx.ml": (1, 5), "com.microsoft": (1, 1)}
# Loops within loops are followed several times; a graph of 100,000 nodes takes seconds.
_MAX_STEPS = 400_000
_MAX_DEPTH = 32


class EndlessGraphError(Exception):
    """The graph takes more steps to follow than any exporter's."""


@dataclass(slots=True)
class _Scope:
    """Names of one graph; a graph within a node sees those around it."""

    outer: "_Scope | None" = None
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, memoryview] = field(default_factory=dict)

    def find(self, name: str) -> Value | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.constants:
                scope.values[name] = to_tensor(read_constant(scope.constants[name]))
                return scope.values[name]
            scope = scope.outer
        return None

    def define(self, name: str, value: Value) -> None:
        if name in self.values or name in self.constants:
            raise MixingError(f"the name {readable(name)!r} is given twice")
        self.values[name] = value


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where in the file the nodes being followed stand; outside of functions `attributes` is None."""

    opsets: Mapping[str, int]
    attributes: Mapping[str, Attribute] | None = None
    depth: int = 0


@dataclass(slots=True)
class Interpreter:
    """Follows the graphs of one model."""

    model: ModelFile
    symbols: Symbols = field(default_factory=Symbols)
    _steps: int = 0

    def run(self, inputs: Mapping[str, Value]) -> list[Value]:
        """The values of the main graph's outputs. Raises MixingError, EndlessGraphError."""
        frame = _Frame(self.model.opsets)
        return self._run_graph(self.model.graph, inputs, None, frame)

    def _run_graph(
        self, graph: Graph, inputs: Mapping[str, Value], outer: _Scope | None, frame: _Frame
    ) -> list[Value]:
        if frame.depth > _MAX_DEPTH:
            raise EndlessGraphError(f"graphs are nested more than {_MAX_DEPTH} deep")
        scope = _Scope(outer, dict(inputs), graph.constants)
        scope.values.update(dict.fromkeys(graph.sparse_constants, UNKNOWN))
        self._run_nodes(graph.nodes, scope, frame)
        return [_given(scope, output.name) for output in graph.outputs]

    def _run_nodes(self, nodes: Iterable[Node], scope: _Scope, frame: _Frame) -> None:
        for node in nodes:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise EndlessGraphError("the graph takes too many steps to analyse")
            results = self._outputs_of(node, scope, frame)
            for at, name in enumerate(node.outputs):
                if name:
                    known = at < len(results)
                    scope.define(
                        name,
                        results[at]
                        if known
                        else _mixed(node, f"its output {at} is not known to keep rows apart"),
                    )

    def _outputs_of(self, node: Node, scope: _Scope, frame: _Frame) -> list[Value]:
        inputs: list[Value | None] = [_found(scope, name) if name else None for name in node.inputs]
        function = self.model.functions.get((node.domain, node.operator, node.overload))
        if function is not None and node.domain not in _VERSIONS:
            return self._call_function(node, function, inputs, frame)
        for value in inputs:
            if isinstance(value, Mixed):
                return [value] * len(node.outputs)
        rule = RULES.get((node.domain, node.operator))
        try:
            if function is not None or rule is None:
                raise MixingError("the operator is not known to keep rows apart")
            version = _version(node, frame)
            tensors = tuple(value for value in inputs if not isinstance(value, Mixed))
            body_runner = _BodyRunner(self, scope, frame)
            call = Call(node, version, tensors, self.symbols, body_runner, frame.attributes)
            return _checked(rule, call, _apply(rule, call))
        except MixingError as error:
            return [_mixed(node, str(error))] * len(node.outputs)

    def _call_function(
        self, node: Node, function: Function, inputs: Sequence[Value | None], frame: _Frame
    ) -> list[Value]:
        # ONNX Runtime takes its nodes in the model's versions, the specification in the function's.
        other = [domain for domain in _VERSIONS if _disagree(domain, function.opsets, self.model.opsets)]
        if other:
            why = f"it was written for another version of the operator set {other[0]!r} than the model has"
            return [_mixed(node, why)] * len(node.outputs)
        if frame.depth > _MAX_DEPTH:
            raise EndlessGraphError(f"functions are nested more than {_MAX_DEPTH} deep")
        try:
            attributes = _attributes_within(node, function, frame)
        except MixingError as error:
            return [_mixed(node, str(error))] * len(node.outputs)
        scope = _Scope()
        for name, value in zip(function.inputs, inputs, strict=False):
            scope.define(name, _LEFT_OUT if value is None else value)
        for name in function.inputs[len(inputs) :]:
            scope.define(name, _LEFT_OUT)
        self._run_nodes(function.nodes, scope, _Frame(function.opsets, attributes, frame.depth + 1))
        return [_given(scope, name) for name in function.outputs]


@dataclass(frozen=True, slots=True)
class _BodyRunner:
    """Follows graphs inside a node."""

    interpreter: Interpreter
    scope: _Scope
    frame: _Frame

    def run_body(self, body: Graph, inputs: Sequence[Value]) -> list[Value]:
        names = [declared.name for declared in body.inputs]
        if len(names) != len(inputs):
            raise MixingError("its graph has another number of inputs")
        frame = _Frame(self.frame.opsets, self.frame.attributes, self.frame.depth + 1)
        return self.interpreter._run_graph(body, dict(zip(names, inputs, strict=True)), self.scope, frame)


# Stands for an input of a function that its caller left out; nodes see None.
_LEFT_OUT = Tensor(None, values=())


def _found(scope: _Scope, name: str) -> Value | None:
    found = scope.find(name)
    if found is None:
        raise MixingError(f"the graph uses {readable(name)!r} before anything makes it")
    return None if found is _LEFT_OUT else found


def _given(scope: _Scope, name: str) -> Value:
    found = _found(scope, name)
    if found is None:
        raise MixingError(f"the function gives {readable(name)!r} back, which its caller left out")
    return found


def _mixed(node: Node, why: str) -> Mixed:
    return Mixed(f"node {node.label}: {why}")


def _attributes_within(node: Node, function: Function, frame: _Frame) -> dict[str, Attribute]:
    """What the function's nodes may refer to: its defaults, and what the call says."""
    attributes = {name: Attribute(content) for name, content in function.defaults.items()}
    for name, content in node.attributes.items():
        given = resolved(Attribute(content), frame.attributes)
        if given is not None:
            attributes[name] = given
    return attributes


def _disagree(domain: str, opsets: Mapping[str, int], of_model: Mapping[str, int]) -> bool:
    return domain in opsets and opsets[domain] != _imported(domain, of_model)


def _imported(domain: str, opsets: Mapping[str, int]) -> int:
    """ONNX Runtime imports its own domain by itself."""
    return opsets.get(domain, 0) or int(domain == "com.microsoft")


def _version(node: Node, frame: _Frame) -> int:
    version = _imported(node.domain, frame.opsets)
    oldest, newest = _VERSIONS[node.domain]
    if not oldest <= version <= newest:
        raise MixingError(f"version {version} of its operator set is not known")
    return version


def _apply(rule: Rule, call: Call) -> list[Value]:
    for tensor in call.inputs:
        if tensor is None:
            continue
        if (tensor.is_places and not rule.places) or (tensor.first_is_place and not rule.row_indices):
            raise MixingError("it uses the places of rows in the batch as values")
        if tensor.padding is not None and not rule.padded:
            raise MixingError("its input is padded to the longest row of the batch")
    for at, tensor in enumerate(call.inputs):
        if tensor is not None and tensor.counts_rows and not (rule.keeps_values or at in rule.sizes):
            raise MixingError("it uses the number of rows in the batch as a value")
    try:
        return _followed(rule, call)
    except MixingError:
        if rule.strict or not all(tensor is None or tensor.is_fixed for tensor in call.inputs):
            raise
        # Whatever its shape, it is the same for every batch.
        return [UNKNOWN] * len(call.node.outputs)


def _followed(rule: Rule, call: Call) -> list[Value]:
    try:
        return rule.apply(call)
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:  # also too few or too many inputs
        raise MixingError("its inputs and attributes do not suit each other") from error


def _checked(rule: Rule, call: Call, results: list[Value]) -> list[Value]:
    """Results in which no trace of the batch got lost."""
    data = [tensor for at, tensor in enumerate(call.inputs) if tensor is not None and at not in rule.sizes]
    counting = any(tensor.counts_rows for tensor in data)
    placing = any(tensor.is_places for tensor in data)
    for result in results:
        if isinstance(result, Mixed):
            continue
        if counting and result.values is None:
            raise MixingError("it uses the number of rows in the batch as a value")
        if placing and not (result.is_places or result.first_is_place):
            raise MixingError("it uses the places of rows in the batch as values")
        if result.dims is not None:
            _check_dims(result)
    return results


def _check_dims(tensor: Tensor) -> None:
    dims = tensor.dims or ()
    if len(dims) > MAX_RANK:
        raise MixingError("its result has too many dimensions")
    padded = tensor.padding.axes if tensor.padding else frozenset()
    for at, dim in enumerate(dims):
        if dim.of_batch and at != tensor.axis and at not in padded:
            raise MixingError(
                "the number of rows decides a dimension of its result that is not that of the rows"
            )
