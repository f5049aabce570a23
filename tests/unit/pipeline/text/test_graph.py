"""Graphs written as one writes NumPy: ONNX Runtime answers as NumPy does."""

import numpy as np
import onnx
import onnxruntime

from modelservice_pipeline.text.graph import INT64, STRING, Graph


def _run(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
    model = graph.model()
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_values_compute_as_numpy_does():
    graph = Graph("test")
    x = graph.input("x", INT64, ["N"])
    graph.output("chosen", graph.where((x > 1) & ~x.equals(3), x * 2 + 1, x - 1), INT64, ["N"])
    graph.output("kept", x.compress(x >= 2), INT64, [None])
    graph.output("running", (x < 3).cumulate(), INT64, ["N"])
    graph.output("size", x.size(0) + graph.full(x.size(0), 7).sum() - graph.range(3).max(), INT64, [])
    x_values = np.array([1, 2, 3, 4])
    chosen, kept, running, size = _run(graph, x=x_values)
    assert chosen.tolist() == [0, 5, 2, 9]
    assert kept.tolist() == [2, 3, 4]
    assert running.tolist() == [1, 2, 2, 2]
    assert size == 4 + 28 - 2


def test_equal_constants_share_their_place_and_types_are_kept_apart():
    graph = Graph("test")
    assert graph.value(1).name == graph.value(1).name
    assert len({graph.value(1).name, graph.value(True).name, graph.value(1.0).name}) == 3


def test_lookup_of_strings_and_numbers():
    graph = Graph("test")
    text = graph.input("text", STRING, ["N"])
    ids = graph.lookup(text, (["é", "b"], np.array([5, 6])), -1)
    graph.output("ids", ids, INT64, ["N"])
    graph.output("texts", graph.lookup(ids, (np.array([5, 6]), ["one", "two"]), "?"), STRING, ["N"])
    ids_out, texts = _run(graph, text=np.array(["b", "é", ""], object))
    assert ids_out.tolist() == [6, 5, -1]
    assert texts.tolist() == ["two", "one", "?"]


def test_loop_within_a_loop_uses_values_from_outside_and_may_not_run_at_all():
    graph = Graph("test")
    x = graph.input("x", INT64, ["N"])

    def double_until_large(_: object, values: object) -> tuple[object, ...]:
        (doubled,) = graph.loop(lambda _, inner: (graph.value(True), inner + x), values, most=1)
        return doubled.max() < 20, doubled

    (result,) = graph.loop(double_until_large, x, go_on=x.max() < 20)
    graph.output("result", result, INT64, ["N"])
    assert _run(graph, x=np.array([1, 2]))[0].tolist() == [10, 20]
    assert _run(graph, x=np.array([1, 30]))[0].tolist() == [1, 30]
