"""What is refused before ONNX Runtime opens a file."""

import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime import onnx_models

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.onnx.graph.scan import ModelScan, scan_model, scan_model_file


def external_tensor(location: str, name: str = "w") -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def save_external(directory: Path, location: str) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [onnx_models.value("x", "FP32", [2])],
        [onnx_models.value("y", "FP32", [2])],
        [external_tensor(location)],
    )
    path = directory / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    return path


def test_scan_of_plain_models_finds_nothing(model_files: dict[str, Path]) -> None:
    for name in ("mlp", "two", "text"):
        scan = scan_model_file(model_files[name])
        assert not scan.external_locations
        assert not scan.time_varies


def test_scan_finds_loops_and_missing_ranks(model_files: dict[str, Path]) -> None:
    assert scan_model_file(model_files["loop"]).time_varies
    assert scan_model_file(model_files["expand"]).unranked == {"y"}
    assert scan_model_file(model_files["total"]).unranked == set()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(40), "torch.save"),
        (pickle.dumps({"weights": [1, 2, 3]}), "pickle"),
        (b"\x89HDF\r\n\x1a\n", "tf2onnx"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "login"),
        (b"age-encryption.org/v1\n-> X25519 abc", "spec.model.decryption"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "spec.model.decryption"),
        (b'{"error": 1}', "JSON"),
        (b"\x08\x08", "no ONNX graph"),
        (os.urandom(16).join([b"\xff" * 64] * 3), "truncated or is not an ONNX model"),
    ],
)
def test_scan_of_other_files_says_what_they_are(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadFailedError, match="ModelLoadFailed: ") as caught:
        scan_model_file(path)
    assert part in str(caught.value)


def test_scan_of_the_ort_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x20\x00\x00\x00ORTM" + bytes(64))
    with pytest.raises(ModelRejectedError, match="ORT format"):
        scan_model_file(path)


def test_scan_of_a_torch_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(1))
    with pytest.raises(ModelLoadFailedError, match="export the model"):
        scan_model_file(path)


@given(cut=st.integers(7, 300))  # the last 6 bytes are the opset, behind the graph
def test_scan_of_a_model_cut_within_its_graph_is_an_error(model_files: dict[str, Path], cut: int) -> None:
    content = model_files["mlp"].read_bytes()
    with pytest.raises((ModelLoadFailedError, ModelRejectedError)):
        scan_model(memoryview(content[:-cut]))


@given(content=st.binary(max_size=300))
@example(content=b"\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80")
def test_scan_of_any_bytes_ends_with_a_typed_error_or_a_result(content: bytes) -> None:
    with suppress(ModelLoadFailedError, ModelRejectedError):
        assert isinstance(scan_model(memoryview(content)), ModelScan)


def test_scan_of_deeply_nested_graphs_is_refused() -> None:
    def wrap(number: int, content: bytes) -> bytes:
        length, encoded = len(content), b""
        while True:
            byte, length = length & 0x7F, length >> 7
            encoded += bytes([byte | (0x80 if length else 0)])
            if not length:
                return bytes([number << 3 | 2]) + encoded + content

    graph = b""
    for _ in range(5000):  # graph <- attribute.g <- node.attribute <- graph.node
        graph = wrap(1, wrap(5, wrap(6, graph)))
    with pytest.raises(ModelRejectedError, match="nested"):
        scan_model(memoryview(wrap(7, graph)))


def test_scan_of_custom_operators_is_refused_unless_the_model_defines_them(tmp_path: Path) -> None:
    node = helper.make_node("Magic", ["x"], ["y"], domain="com.example")
    inputs, outputs = [onnx_models.value("x", "FP32", ["n"])], [onnx_models.value("y", "FP32", ["n"])]
    path = onnx_models.save(tmp_path / "m.onnx", [node], inputs, outputs, domains=["com.example"])
    with pytest.raises(ModelRejectedError, match=r"'Magic' of domain 'com\.example' is a custom"):
        scan_model_file(path)
    model = onnx.load(path)
    body = helper.make_node("Identity", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("com.example", "Magic", ["a"], ["b"], [body], opsets))
    assert not scan_model(memoryview(model.SerializeToString())).time_varies


def test_scan_of_precompiled_contexts_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [node],
        [onnx_models.value("x", "FP32", ["n"])],
        [onnx_models.value("y", "FP32", ["n"])],
        domains=["com.microsoft"],
    )
    with pytest.raises(ModelRejectedError, match="EPContext"):
        scan_model_file(path)


def test_external_data_beside_the_model_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(8))
    scan = scan_model_file(save_external(tmp_path, "weights/w.bin"))
    assert scan.external_locations == {"weights/w.bin"}


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "*/_ORT_MEM_ADDR_/w", "", "a\0b"]
)
def test_external_data_outside_the_directory_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelRejectedError, match="outside the model's directory"):
        scan_model_file(save_external(tmp_path, location))


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailedError, match=r"'w\.bin' is missing"):
        scan_model_file(save_external(tmp_path, "w.bin"))


def test_external_data_of_attributes_and_subgraphs_is_refused() -> None:
    constant = helper.make_node("Constant", [], ["y"], value=external_tensor("w.bin"))
    outputs = [onnx_models.value("y", "FP32", [2])]
    graph = helper.make_graph([constant], "g", [], outputs)
    body = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "b", [], outputs, [external_tensor("w")]
    )
    branch = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    nested = helper.make_graph([branch], "g", [onnx_models.value("c", "BOOL", [])], outputs)
    for content in (graph, nested):
        with pytest.raises(ModelRejectedError, match="main graph"):
            scan_model(memoryview(helper.make_model(content).SerializeToString()))


def test_training_information_is_refused(model_files: dict[str, Path]) -> None:
    model = onnx.load(model_files["mlp"])
    model.training_info.add()
    with pytest.raises(ModelRejectedError, match="training"):
        scan_model(memoryview(model.SerializeToString()))


def test_inline_weights_are_passed_over(model_files: dict[str, Path]) -> None:
    model = onnx.load(model_files["mlp"])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1000, np.float32), "big"))
    assert scan_model(memoryview(model.SerializeToString())).external_locations == set()


def normalization(outputs: list[str], opset: int, **attributes: int) -> onnx.ModelProto:
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], outputs, **attributes)
    ones = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in "sbmv"]
    inputs, results = [onnx_models.value("x", "FP32", [-1, 2])], [onnx_models.value("y", "FP32", [-1, 2])]
    graph = helper.make_graph([node], "g", inputs, results, ones)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(
    "model",
    [
        normalization(["y", "mean", "variance"], 17, training_mode=1),
        normalization(["y"], 17, training_mode=1),
        normalization(["y", "mean", "variance", "saved_mean", "saved_variance"], 9),
    ],
)
def test_scan_of_a_model_that_learns_from_requests_is_refused(model: onnx.ModelProto) -> None:
    with pytest.raises(ModelRejectedError, match=r"training mode.*model\.eval\(\)"):
        scan_model(memoryview(model.SerializeToString()))


@pytest.mark.parametrize(
    "model",
    [normalization(["y"], 17, training_mode=0), normalization(["y", "", ""], 17), normalization(["y"], 9)],
)
def test_scan_of_a_normalization_for_inference_is_taken(model: onnx.ModelProto) -> None:
    scan_model(memoryview(model.SerializeToString()))
