"""ONNX Runtime behind the Model protocol: loading, warm-up, providers."""

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime import onnx_models

from modelservice_runtime.errors import (
    DeadlineExceededError,
    ExecutionProviderUnavailableError,
    InferenceFailedError,
    InputRefusedError,
    InvalidRequestError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
    OutputTooLargeError,
)
from modelservice_runtime.models.warm_up import warm_up
from modelservice_runtime.onnx.model import find_model_file, load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

CPU = SessionSettings(("CPU",), 1)


def load(path: Path, settings: SessionSettings = CPU):  # type: ignore[no-untyped-def]
    return load_onnx_model(path, "m", "1", settings)


def test_load_describes_the_signature(model_files: dict[str, Path]) -> None:
    spec = load(model_files["mlp"]).spec
    assert [(tensor.name, tensor.datatype.name, tensor.shape) for tensor in spec.inputs] == [
        ("x", "FP32", (-1, 4))
    ]
    assert [(tensor.name, tensor.shape) for tensor in spec.outputs] == [("y", (-1, 3))]
    assert load(model_files["expand"]).spec.outputs[0].shape is None
    assert load(model_files["total"]).spec.outputs[0].shape == ()


def test_load_through_a_symbolic_link_works(model_files: dict[str, Path], tmp_path: Path) -> None:
    link = tmp_path / "model.onnx"
    link.symlink_to(model_files["mlp"])
    assert load(link).spec.name == "m"


def test_load_of_a_damaged_graph_is_one_sentence(model_files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_files["mlp"].read_bytes().replace(b"Gemm", b"Gemx"))
    with pytest.raises(
        ModelLoadFailedError, match=r"ModelLoadFailed: ONNX Runtime cannot load the model: "
    ) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert ".cc:" not in str(caught.value)


def test_load_of_a_model_that_needs_a_missing_locale_names_the_remedy(tmp_path: Path) -> None:
    node = helper.make_node(
        "StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_NOWHERE.UTF-8"
    )
    inputs, outputs = [onnx_models.value("x", "BYTES", ["n"])], [onnx_models.value("y", "BYTES", ["n"])]
    path = onnx_models.save(tmp_path / "model.onnx", [node], inputs, outputs)
    with pytest.raises(ModelLoadFailedError, match=r"locale xx_NOWHERE.UTF-8, which is missing.*C\.UTF-8"):
        load(path)


def test_load_of_a_model_with_sequence_input_is_refused(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    node = helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)
    path = onnx_models.save(tmp_path / "m.onnx", [node], [sequence], [onnx_models.value("y", "FP32", None)])
    with pytest.raises(
        ModelRejectedError, match=r"seq\(tensor\(float\)\), which no protocol can send.*tensors of"
    ):
        load(path)


def test_load_with_an_unavailable_provider_fails_loudly(model_files: dict[str, Path]) -> None:
    with pytest.raises(ExecutionProviderUnavailableError, match=r"ExecutionProviderUnavailable: .*Nonesuch"):
        load(model_files["mlp"], SessionSettings(("Nonesuch",), 1))


def test_load_with_cpu_listed_falls_back(model_files: dict[str, Path]) -> None:
    model = load(model_files["mlp"], SessionSettings(("Nonesuch", "CPU"), 1))
    assert model.execution_providers == ["CPUExecutionProvider"]


def test_load_unsets_the_models_own_configuration(
    model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    load(model_files["mlp"])
    assert "ORT_LOAD_CONFIG_FROM_MODEL" not in os.environ


@pytest.mark.parametrize("datatype", list(onnx_models.ONNX_TYPES))
def test_warm_up_runs_every_datatype(model_files: dict[str, Path], datatype: str) -> None:
    assert warm_up(load(model_files[f"identity_{datatype}"])).run_seconds is not None


def test_warm_up_of_a_model_that_dislikes_ones_is_noted_and_not_fatal(model_files: dict[str, Path]) -> None:
    learned = warm_up(load(model_files["pairs"]))
    assert learned.run_seconds is None
    assert "did not run on synthetic inputs" in learned.note


def test_run_with_an_index_out_of_range_is_an_error_without_paths(model_files: dict[str, Path]) -> None:
    model = load(model_files["gather"])
    with pytest.raises((InferenceFailedError, InputRefusedError), match="out of data bounds") as caught:
        model.run({"x": np.array([9], np.int64)}, ["y"])
    assert "/" not in str(caught.value)


def gru(path: Path, nested: bool) -> Path:
    """Steps of three numbers through a GRU, at the top or in a branch."""
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [1, 15, size], [0.1] * 15 * size)
        for name, size in (("w", 3), ("r", 5))
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", "rows", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5)]
    if nested:
        inner = [helper.make_node("GRU", ["x", "w", "r"], ["z"], hidden_size=5)]
        z = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
        branch = helper.make_graph(inner, "branch", [], [z])
        nodes = [
            helper.make_node(
                "Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])
            ),
            helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
        ]
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    return path


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3)])
def test_run_on_nothing_that_would_end_the_process_is_refused(
    tmp_path: Path, shape: tuple[int, ...], nested: bool
) -> None:
    model = load(gru(tmp_path / "model.onnx", nested))
    with pytest.raises(InvalidRequestError, match=r"input 'x' has no elements.* GRU"):
        model.run({"x": np.zeros(shape, np.float32)}, ["y"])
    (found,) = model.run({"x": np.zeros((4, 2, 3), np.float32)}, ["y"])
    assert found.shape == (4, 1, 2, 5)


def test_run_that_fails_for_want_of_rows_is_the_inputs_fault(tmp_path: Path) -> None:
    """As of a text model, whose Tokenizer gives no rows another rank."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Squeeze", ["where", "axis"], ["y"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [1])
    path = tmp_path / "model.onnx"
    graph = helper.make_graph(nodes, "g", [x], [y], [axis])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    with pytest.raises(InferenceFailedError):
        load(path).run({"x": np.ones(2, np.float32)}, ["y"])
    with pytest.raises(InputRefusedError, match="without elements"):
        load(path).run({"x": np.zeros(0, np.float32)}, ["y"])


def test_run_that_is_stopped_raises_deadline_exceeded(model_files: dict[str, Path]) -> None:
    model = load(model_files["loop"])
    handle = model.new_run()
    handle.stop()
    with pytest.raises(DeadlineExceededError):
        model.run({"x": np.array([1000], np.int64)}, ["y"], handle)


def test_run_of_bf16_keeps_the_bits_and_the_shape(tmp_path: Path) -> None:
    model = load(onnx_models.save_identity(tmp_path / "m.onnx", "BF16", ["n", 2]))
    bits = np.array([[0x3F80, 0x7FC0], [0x0001, 0xFF80]], np.uint16)
    (output,) = model.run({"x": bits}, ["y"])
    assert np.array_equal(output, bits)
    (empty,) = model.run({"x": np.zeros((0, 2), np.uint16)}, ["y"])
    assert empty.shape == (0, 2)


def test_load_of_a_file_that_is_no_model_names_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("read me")
    with pytest.raises(ModelLoadFailedError, match=r"^ModelLoadFailed: 'README\.md': .* not an ONNX model"):
        load(tmp_path / "README.md")


def test_find_model_file_says_how_a_folder_of_transformers_is_converted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelNotFoundError, match="modelservice model convert --from transformers-causal"):
        find_model_file(tmp_path)


def test_find_model_file_prefers_model_onnx_and_names_ambiguity(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model at"):
        find_model_file(tmp_path / "nothing")
    with pytest.raises(ModelNotFoundError, match="found none, but no other file"):
        find_model_file(tmp_path)
    for name in "fabcdeg":
        (tmp_path / f"{name}.md").touch()
    with pytest.raises(ModelNotFoundError, match=r"found none, but a\.md, b\.md, .*e\.md and 2 more"):
        find_model_file(tmp_path)
    (tmp_path / "a.onnx").touch()
    assert find_model_file(tmp_path).name == "a.onnx"
    (tmp_path / "b.onnx").touch()
    with pytest.raises(ModelNotFoundError, match=r"found a\.onnx, b\.onnx"):
        find_model_file(tmp_path)
    for name in "cdefg":
        (tmp_path / f"{name}.onnx").touch()
    with pytest.raises(ModelNotFoundError, match=r"d\.onnx, e\.onnx and 2 more$"):
        find_model_file(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert find_model_file(tmp_path).name == "model.onnx"


@pytest.mark.parametrize("shape", [[10**6, 10**6, 1000], [10**18, 100], [-5]])
def test_run_whose_output_cannot_be_allocated_is_too_large(
    model_files: dict[str, Path], shape: list[int]
) -> None:
    model = load(model_files["expand"])
    with pytest.raises(OutputTooLargeError, match="send a smaller input"):
        model.run({"x": np.array(shape, np.int64)}, ["y"])
