"""Units are left out of layers that only each other read; the rest learns the old answers."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tests.unit.pipeline.compress.conftest import make_model, make_network, make_rows

from modelservice_pipeline.compress.chains import find_chains, replace_chain
from modelservice_pipeline.compress.dense import ACTIVATIONS, Layer, Training, fit_layers, run_layers
from modelservice_pipeline.compress.dense import _gradients as gradients
from modelservice_pipeline.compress.prepare import prepare
from modelservice_pipeline.compress.prune import choose_units, count_kept, prune, tensors_to_see
from modelservice_pipeline.model.session import OnnxModel


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array, np.float32), name)


def answer(model, path, rows):
    onnx.save(model, path)
    return OnnxModel(path).run({"x": rows})["p"]


def test_chain_of_a_network_runs_as_its_graph(tmp_path):
    model = prepare(make_network(), tmp_path / "prepared.onnx")
    (chain,) = find_chains(model)
    assert (chain.source, chain.result) == ("x", "s2")
    assert [layer.activation for layer in chain.layers] == ["Relu", "Relu", ""]
    rows = make_rows(20)
    sums = run_layers(chain.layers, rows)
    softmax = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer(model, tmp_path / "a.onnx", rows), softmax, rtol=1e-4, atol=1e-6)


def test_replaced_chain_of_words_answers_the_same(tmp_path):
    """MatMul and Add in both orders, over [rows, words, units], between other operators."""
    chance = np.random.default_rng(0)
    weights = [
        constant("w0", chance.normal(size=(6, 10))),
        constant("b0", chance.normal(size=10)),
        constant("w1", chance.normal(size=(10, 3))),
        constant("b1", chance.normal(size=3)),
    ]
    nodes = [
        helper.make_node("Neg", ["x"], ["m"]),
        helper.make_node("MatMul", ["m", "w0"], ["a"]),
        helper.make_node("Add", ["b0", "a"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("Identity", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w1"], ["e"]),
        helper.make_node("Add", ["e", "b1"], ["f"]),
        helper.make_node("Sigmoid", ["f"], ["p"]),
    ]
    made = make_model(nodes, [("x", ["n", "t", 6])], [("p", ["n", "t", 3])], weights)
    model = prepare(made, tmp_path / "prepared.onnx")
    rows = chance.normal(size=(4, 5, 6)).astype(np.float32)
    before = answer(model, tmp_path / "a.onnx", rows)
    (chain,) = find_chains(model)
    replace_chain(model, chain, chain.layers)
    onnx.checker.check_model(model)
    np.testing.assert_allclose(answer(model, tmp_path / "b.onnx", rows), before, rtol=1e-5, atol=1e-6)
    assert {tensor.name for tensor in model.graph.initializer} == {
        "f/weight0", "f/bias0", "f/weight1", "f/bias1"
    }  # fmt: skip


@pytest.mark.parametrize("reader", ["output", "other node", "subgraph", "shared weight", "scaled"])
def test_layers_that_others_read_are_no_chain(tmp_path, reader):
    weights = [constant("w0", np.eye(4)), constant("w1", np.eye(4))]
    second = "w0" if reader == "shared weight" else "w1"
    scale = {"alpha": 2.0} if reader == "scaled" else {}
    nodes = [
        helper.make_node("Gemm", ["x", "w0"], ["a"], **scale),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", second], ["p"]),
    ]
    outputs = [("p", ["n", 4])]
    if reader == "output":
        outputs.append(("b", ["n", 4]))
    if reader == "other node":
        nodes.append(helper.make_node("Neg", ["b"], ["q"]))
    if reader == "subgraph":
        body = helper.make_graph(
            [helper.make_node("Neg", ["b"], ["y"])], "t", [], [helper.make_tensor_value_info("y", 1, None)]
        )
        nodes.append(helper.make_node("If", ["c"], ["q"], then_branch=body, else_branch=body))
    model = prepare(make_model(nodes, [("x", ["n", 4])], outputs, weights), tmp_path / "prepared.onnx")
    assert find_chains(model) == ()
    assert tensors_to_see(model) == ()


def test_units_that_matter_stay(tmp_path):
    first = np.zeros((2, 20), np.float32)
    first[0, 3], first[1, 11] = 1.0, 5.0
    second = np.zeros((20, 1), np.float32)
    second[[3, 11]] = 1.0
    second[7] = 100.0  # large weights, but the unit is always 0
    layers = (Layer(first, np.zeros(20, np.float32), "Relu"), Layer(second, np.zeros(1, np.float32)))
    chain = find_chains(prepare(make_network(), tmp_path / "prepared.onnx"))[0]
    kept = choose_units(type(chain)("x", "y", layers, ()), 0.1, np.abs(make_rows(30, 2)))
    assert kept[0].weight.shape == (2, 8)
    assert kept[1].weight.shape == (8, 1)
    rows = np.abs(make_rows(5, 2))
    np.testing.assert_allclose(run_layers(kept, rows), run_layers(layers, rows), rtol=1e-6)


@pytest.mark.parametrize(
    ("units", "share", "kept"), [(512, 0.5, 256), (50, 0.5, 32), (6, 0.5, 6), (100, 0.01, 8)]
)
def test_kept_units_fill_vectors(units, share, kept):
    assert count_kept(units, share) == kept


def test_pruned_network_learns_the_old_answers(tmp_path):
    model = prepare(make_network((16, 64, 48, 4)), tmp_path / "prepared.onnx")
    (chain,) = find_chains(model)
    rows = make_rows(2000)
    seen = {"x": rows, "s2": run_layers(chain.layers, rows)}
    before = answer(model, tmp_path / "a.onnx", rows)
    cut = answer(prune(model, 0.5, seen, Training(steps=0)), tmp_path / "b.onnx", rows)
    fitted = answer(prune(model, 0.5, seen, Training(steps=300)), tmp_path / "c.onnx", rows)
    assert np.abs(fitted - before).mean() < 0.5 * np.abs(cut - before).mean()
    assert (tmp_path / "c.onnx").stat().st_size < 0.6 * (tmp_path / "a.onnx").stat().st_size


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(ACTIVATIONS)), st.integers(0, 1000))
def test_gradients_are_those_of_differences(activation, seed):
    chance = np.random.default_rng(seed)
    shapes = [(3, 5), (5,), (5, 2), (2,)]
    values = [chance.normal(size=shape).astype(np.float64) for shape in shapes]
    inputs, targets = chance.normal(size=(7, 3)), chance.normal(size=(7, 2))

    assume(np.abs(inputs @ values[0] + values[1]).min() > 1e-3)  # a kink has no one slope

    def loss():
        layers = (Layer(values[0], values[1], activation), Layer(values[2], values[3]))
        return float(np.mean(np.square(run_layers(layers, inputs) - targets)))

    found = gradients(values, [activation, ""], inputs, targets, np.float32(1))
    for value, gradient in zip(values, found, strict=True):
        index = tuple(int(chance.integers(size)) for size in value.shape)
        value[index] += 1e-6
        above = loss()
        value[index] -= 2e-6
        difference = (above - loss()) / 2e-6
        value[index] += 1e-6
        assert abs(gradient[index] - difference) < 1e-4


def test_training_is_the_same_in_every_run():
    layers = (Layer(np.ones((2, 3), np.float32), np.zeros(3, np.float32)),)
    rows = make_rows(50, 2)
    once = fit_layers(layers, rows, rows @ np.ones((2, 3), np.float32) * 2, Training(steps=20))
    again = fit_layers(layers, rows, rows @ np.ones((2, 3), np.float32) * 2, Training(steps=20))
    np.testing.assert_array_equal(once[0].weight, again[0].weight)
    np.testing.assert_array_equal(layers[0].weight, np.ones((2, 3)))
