"""Small ONNX models whose answers tell which of them answered."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Both are older than any ONNX Runtime that the project supports.
OPSET = 17
IR_VERSION = 8
REGEX_OPSET = 20  # the first with RegexFullMatch


def make_adder(addend: float, input_name: str = "values") -> bytes:
    """A model with `sum = values + addend`, for float32 vectors of any length."""
    node = helper.make_node("Add", [input_name, "addend"], ["sum"])
    constant = numpy_helper.from_array(np.array([addend], dtype=np.float32), "addend")
    return _serialize([node], input_name, TensorProto.FLOAT, ["n"], "sum", [constant])


def make_failing_adder(addend: float, share: float) -> bytes:
    """An adder that fails for a share of the requests, chosen by chance: a shape that fits no number."""
    nodes = [
        helper.make_node("RandomUniform", [], ["chance"], shape=[1]),
        helper.make_node("Less", ["chance", "share"], ["fails"]),
        helper.make_node("Cast", ["fails"], ["too_many"], to=TensorProto.INT64),
        helper.make_node("Add", ["one", "too_many"], ["shape"]),
        helper.make_node("Reshape", ["addend", "shape"], ["same_addend"]),
        helper.make_node("Add", ["values", "same_addend"], ["sum"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([addend], dtype=np.float32), "addend"),
        numpy_helper.from_array(np.array([share], dtype=np.float32), "share"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
    ]
    return _serialize(nodes, "values", TensorProto.FLOAT, ["n"], "sum", constants)


def make_slow_adder(addend: float, steps: int) -> bytes:
    """An adder that counts to `steps` first, one loop step at a time."""
    nodes = [
        helper.make_node("Loop", ["steps", "yes", "zero"], ["counted"], body=_counting_step()),
        helper.make_node("Mul", ["counted", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["nothing_added"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["addend", "nothing_added"], ["same_addend"]),
        helper.make_node("Add", ["values", "same_addend"], ["sum"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([addend], dtype=np.float32), "addend"),
        numpy_helper.from_array(np.array(steps, dtype=np.int64), "steps"),
        *_counting_constants(),
    ]
    return _serialize(nodes, "values", TensorProto.FLOAT, ["n"], "sum", constants)


def make_hungry_adder(addend: float, megabytes: int) -> bytes:
    """An adder of a few bytes that fills as many megabytes of memory to answer."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["addend", "zero"], ["same_addend"]),
        helper.make_node("Add", ["values", "same_addend"], ["sum"]),
    ]
    floats = megabytes * 2**20 // 4
    constants = [
        numpy_helper.from_array(np.array([addend], dtype=np.float32), "addend"),
        numpy_helper.from_array(np.array([floats], dtype=np.int64), "shape"),
    ]
    return _serialize(nodes, "values", TensorProto.FLOAT, ["n"], "sum", constants)


def make_counter() -> bytes:
    """A model that counts to the int64 it is given, one loop step at a time: it takes as long as is asked."""
    nodes = [
        helper.make_node("Squeeze", ["values"], ["steps"]),
        helper.make_node("Loop", ["steps", "yes", "zero"], ["sum"], body=_counting_step()),
    ]
    return _serialize(nodes, "values", TensorProto.INT64, [1], "sum", _counting_constants())


def _counting_step() -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Identity", ["keep_going"], ["keep_going_out"]),
            helper.make_node("Add", ["count", "one"], ["count_out"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("keep_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("keep_going_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count_out", TensorProto.INT64, [1]),
        ],
    )


def _counting_constants() -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.array([0], dtype=np.int64), "zero"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
    ]


def make_word_finder(word: str) -> bytes:
    """A model with the signature of the spam example: texts that have `word` are spam.

    `text` strings [n]; `label` strings [n], spam or ham; `probability` float32 [n], 1 or 0.
    """
    nodes = [
        helper.make_node("RegexFullMatch", ["text"], ["found"], pattern=f".*{word}.*"),
        helper.make_node("Where", ["found", "spam", "ham"], ["label"]),
        helper.make_node("Cast", ["found"], ["probability"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor(name, TensorProto.STRING, [], [name.encode()]) for name in ("spam", "ham")],
    )
    return _serialize_graph(graph, REGEX_OPSET)


def _serialize(
    nodes: list[onnx.NodeProto],
    input_name: str,
    datatype: int,
    shape: list[int | str],
    output_name: str,
    constants: list[onnx.TensorProto],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, datatype, shape)],
        [helper.make_tensor_value_info(output_name, datatype, shape)],
        constants,
    )
    return _serialize_graph(graph, OPSET)


def _serialize_graph(graph: onnx.GraphProto, opset: int) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
