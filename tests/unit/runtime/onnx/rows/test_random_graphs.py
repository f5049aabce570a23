"""Graphs made by chance, most of which mix rows somewhere: whatever is proven must hold when it runs."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime.onnx.rows.differential import ROWS, Array, find_difference, open_session
from tests.unit.runtime.onnx.rows.graph_texts import obstacle


class Builder:
    """Adds nodes to a graph over x [n, 3, 2] and z [n, 2], whose shapes it knows for `ROWS` rows."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {"x": (ROWS, 3, 2), "z": (ROWS, 2)}

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def node(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def add(self, operator: str, inputs: Sequence[str], shape: Sequence[int], **attributes: object) -> None:
        name = self.node(operator, inputs, **attributes)
        self.shapes[name] = tuple(shape)

    def any_value(self) -> tuple[str, tuple[int, ...]]:
        return self.chance.choice([item for item in self.shapes.items() if 1 <= len(item[1]) <= 4])

    def axis(self, shape: Sequence[int]) -> int:
        return self.chance.randrange(len(shape))


def transpose(build: Builder) -> None:
    name, shape = build.any_value()
    order = build.chance.sample(range(len(shape)), len(shape))
    build.add("Transpose", [name], [shape[at] for at in order], perm=order)


def along(operator: str) -> Callable[[Builder], None]:
    def step(build: Builder) -> None:
        name, shape = build.any_value()
        build.add(operator, [name], shape, axis=build.axis(shape))

    return step


def reduce(build: Builder) -> None:
    name, shape = build.any_value()
    axis = build.axis(shape)
    kept = [1 if at == axis else size for at, size in enumerate(shape)]
    build.add("ReduceMean", [name], kept, axes=[axis], keepdims=1)


def cumulate(build: Builder) -> None:
    name, shape = build.any_value()
    build.add("CumSum", [name, build.constant(np.array(build.axis(shape)))], shape)


def part(build: Builder) -> None:
    name, shape = build.any_value()
    axis = build.axis(shape)
    end = build.chance.choice([1, 2, 2**62])
    cut = [min(size, end) if at == axis else size for at, size in enumerate(shape)]
    build.add("Slice", [name, build.numbers(0), build.numbers(end), build.numbers(axis)], cut)


def pick(build: Builder) -> None:
    name, shape = build.any_value()
    axis = build.axis(shape)
    rest = [size for at, size in enumerate(shape) if at != axis]
    build.add("Gather", [name, build.constant(np.array(0))], rest, axis=axis)


def join(build: Builder) -> None:
    name, shape = build.any_value()
    axis = build.axis(shape)
    longer = [2 * size if at == axis else size for at, size in enumerate(shape)]
    build.add("Concat", [name, name], longer, axis=axis)


def add(build: Builder) -> None:
    (one, left), (other, right) = build.any_value(), build.any_value()
    if build.chance.random() < 0.3:
        right = tuple(build.chance.choice([1, size]) for size in left)
        other = build.constant(np.random.default_rng(1).normal(size=right).astype(np.float32))
    try:
        shape = np.broadcast_shapes(left, right)
    except ValueError:
        return
    build.add("Add", [one, other], shape)


def multiply(build: Builder) -> None:
    (one, left), (other, right) = build.any_value(), build.any_value()
    try:
        shape = np.matmul(np.zeros(left), np.zeros(right)).shape
    except ValueError:
        return
    build.add("MatMul", [one, other], shape)


def reshape(build: Builder) -> None:
    """To other groups of the same sizes, one of which is left open."""
    name, shape = build.any_value()
    sizes = [size for size in shape if size != 1] or [1]
    groups = [[size] for size in sizes]
    while len(groups) > 1 and build.chance.random() < 0.5:
        at = build.chance.randrange(len(groups) - 1)
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    build.chance.random() < 0.2 and build.chance.shuffle(groups)
    wanted = [int(np.prod(group)) for group in groups]
    target = list(wanted)
    target[build.axis(target)] = -1
    build.add("Reshape", [name, build.numbers(*target)], wanted)


def reshape_like(build: Builder) -> None:
    name, shape = build.any_value()
    alike = [other for other, given in build.shapes.items() if np.prod(given) == np.prod(shape) and given]
    other = build.chance.choice(alike)
    build.add("Reshape", [name, build.node("Shape", [other])], build.shapes[other])


def unsqueeze(build: Builder) -> None:
    name, shape = build.any_value()
    axis = build.chance.randrange(len(shape) + 1)
    build.add("Unsqueeze", [name, build.numbers(axis)], [*shape[:axis], 1, *shape[axis:]])


def expand_like(build: Builder) -> None:
    (name, shape), (other, given) = build.any_value(), build.any_value()
    try:
        wider = np.broadcast_shapes(shape, given)
    except ValueError:
        return
    build.add("Expand", [name, build.node("Shape", [other])], wider)


def divide_by_count(build: Builder) -> None:
    (name, shape), (other, given) = build.any_value(), build.any_value()
    place = build.constant(np.array(build.axis(given)))
    count = build.node("Gather", [build.node("Shape", [other]), place])
    build.add("Div", [name, build.node("Cast", [count], to=TensorProto.FLOAT)], shape)


def repeat(build: Builder) -> None:
    name, shape = build.any_value()
    times = [build.chance.choice([1, 1, 2]) for _ in shape]
    longer = [size * count for size, count in zip(shape, times, strict=True)]
    build.add("Tile", [name, build.numbers(*times)], longer)


STEPS = (
    transpose, transpose, along("Softmax"), along("Hardmax"), reduce, cumulate, part, pick, join, add, add,
    multiply, reshape, reshape, reshape_like, unsqueeze, expand_like, divide_by_count, repeat,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(chance=st.randoms(use_true_random=False), length=st.integers(2, 7))
def test_proven_graph_holds_when_it_runs(chance: random.Random, length: int) -> None:
    build = Builder(chance)
    for _ in range(length):
        chance.choice(STEPS)(build)
    values = np.random.default_rng(2)
    inputs = {name: values.normal(size=build.shapes[name]).astype(np.float32) for name in ("x", "z")}
    for name in list(build.shapes)[2:]:
        model = _with_output(build, name)
        if obstacle(model) is not None:
            continue
        try:
            assert find_difference(open_session(model), inputs) is None
        except ValueError:
            continue


def _with_output(build: Builder, name: str) -> onnx.ModelProto:
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        build.nodes,
        "chance",
        [
            helper.make_tensor_value_info("x", floats, ["n", 3, 2]),
            helper.make_tensor_value_info("z", floats, ["n", 2]),
        ],
        [helper.make_tensor_value_info(name, floats, None)],
        build.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
