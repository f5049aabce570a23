"""Maps and sequences as exporters write them: what is served for them, and how it is said what is not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.errors import InvalidRequestError, ModelRejectedError
from modelservice_runtime.onnx import model as onnx_model
from modelservice_runtime.onnx.graph.scan import scan_model
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.protocols.openapi.document import build_document
from modelservice_runtime.protos import inference_pb2, tensorflow_serving_pb2
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.settings.sessions import SessionSettings

X = onnx_models.value("x", "FP32", ["n", 3])
LABELS: dict[str, list[Any]] = {
    "numbers": [0, 1, 2],
    "numbers in another order": [7, -1, 2**62],
    "texts": ["setosa", "versicolor", "virginica"],
    "texts in another order": ["z", "ä", ""],
}


def maps(name: str, labels: list[Any]) -> onnx.ValueInfoProto:
    key = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    return helper.make_value_info(
        name, helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    )


def zip_map(given: str, name: str, labels: list[Any]) -> onnx.NodeProto:
    kind = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    return helper.make_node("ZipMap", [given], [name], domain="ai.onnx.ml", **{kind: labels})


def save(path: Path, nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto]) -> Path:
    return onnx_models.save(path, nodes, [X], outputs, domains=["ai.onnx.ml"])


def save_classifier(path: Path, labels: list[Any]) -> Path:
    """As scikit-learn's are: label = the largest score's index, probability = the scores by label."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["x"], ["scores"]),
        zip_map("scores", "probability", labels),
    ]
    return save(path, nodes, [onnx_models.value("label", "INT64", ["n"]), maps("probability", labels)])


def load(path: Path) -> OnnxModel:
    return load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))


def inputs(rows: int = 5) -> np.ndarray:
    values = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    values[1:2] = np.nan
    return values


@pytest.fixture(params=[True, False], ids=["taken out", "left in"])
def zip_maps_are_taken_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Of small models they are."""
    taken_out = bool(request.param)
    if not taken_out:
        monkeypatch.setattr(onnx_model, "_MAX_EDITED_BYTES", 0)
    return taken_out


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_scores_of_a_zip_map_are_served_in_the_order_of_its_labels(
    tmp_path: Path, labels: list[Any], rows: int, zip_maps_are_taken_out: bool
) -> None:
    path = save_classifier(tmp_path / "m.onnx", labels)
    model, given = load(path), {"x": inputs(rows)}
    label, scores = model.run(given, ("label", "probability"))
    by_label = onnxruntime.InferenceSession(path).run(["probability"], given)[0]
    assert scores.dtype == np.float32
    assert scores.shape == (rows, 3)
    assert label.shape == (rows,)
    expected = np.array([[row[label] for label in labels] for row in by_label], np.float32).reshape(rows, 3)
    assert np.array_equal(scores, expected, equal_nan=True)
    spec = model.spec.output_by_name["probability"]
    assert (spec.datatype.name, spec.shape, spec.labels) == ("FP32", (-1, 3), tuple(labels))
    assert model.skipped_outputs == ()
    assert types_of(model) == ["tensor(float)"] * zip_maps_are_taken_out


def types_of(model: OnnxModel) -> list[str]:
    """Of the outputs that are no longer what ZipMaps make."""
    outputs = model._session.get_outputs()
    return [output.type for output in outputs if output.type == "tensor(float)"]


@pytest.mark.usefixtures("zip_maps_are_taken_out")
def test_one_label_is_one_column(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=1, axes=None),
        helper.make_node("Reshape", ["sum", "shape"], ["flat"]),
        zip_map("flat", "maps", ["only"]),
    ]
    path = onnx_models.save(
        tmp_path / "m.onnx",
        nodes,
        [X],
        [maps("maps", ["only"])],
        {"shape": np.array([-1, 1])},
        ["ai.onnx.ml"],
    )
    assert load(path).run({"x": np.ones((2, 3), np.float32)}, ("maps",))[0].tolist() == [[6.0]]


@pytest.mark.usefixtures("zip_maps_are_taken_out")
def test_several_zip_maps_and_one_of_an_input_are_served(tmp_path: Path) -> None:
    """No node stands before the second, so that no tensor before it could be asked for."""
    nodes = [
        helper.make_node("Neg", ["x"], ["negative"]),
        zip_map("negative", "one", LABELS["texts"]),
        zip_map("x", "two", LABELS["numbers in another order"]),
    ]
    outputs = [maps("one", LABELS["texts"]), maps("two", LABELS["numbers"])]
    model, given = load(save(tmp_path / "m.onnx", nodes, outputs)), inputs()
    two, one = model.run({"x": given}, ("two", "one"))
    assert np.array_equal(two, given, equal_nan=True)
    assert np.array_equal(one, -given, equal_nan=True)
    assert [tensor.labels for tensor in model.spec.outputs] == [
        tuple(LABELS["texts"]),
        tuple(LABELS["numbers in another order"]),
    ]


def without_opset(model: onnx.ModelProto) -> None:
    """CatBoost's models use no operator of the standard domain."""
    del model.graph.node[:2]
    model.graph.node[0].input[0] = "x"
    del model.graph.output[0]
    del model.opset_import[0]


def with_an_inner_graph(model: onnx.ModelProto) -> None:
    """What it reads of the outer graph is not followed."""
    value = onnx_models.value("inner", "FP32", None)
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["inner"])], "branch", [], [value])
    condition = onnx.numpy_helper.from_array(np.array(True), "condition")
    model.graph.initializer.append(condition)
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["chosen"], then_branch=branch, else_branch=branch)
    )


def with_described_maps(model: onnx.ModelProto) -> None:
    model.graph.value_info.append(model.graph.output[1])


def with_external_data(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Add", ["x", "w"], ["unused"]))
    weights = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    model.graph.initializer.append(weights)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "w.bin")


@pytest.mark.parametrize(
    ("change", "taken_out"),
    [(without_opset, 1), (with_an_inner_graph, 0), (with_described_maps, 1), (with_external_data, 0)],
)
def test_zip_map_is_served_whatever_else_is_in_the_model(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], taken_out: int
) -> None:
    path = save_classifier(tmp_path / "m.onnx", LABELS["texts"])
    changed = onnx.load(path)
    change(changed)
    onnx.save(changed, path)
    model, given = load(path), {"x": inputs()}
    (expected,) = onnxruntime.InferenceSession(path).run(["probability"], given)
    (scores,) = model.run(given, ("probability",))
    assert np.array_equal(scores, [list(map(row.get, LABELS["texts"])) for row in expected], equal_nan=True)
    assert len(types_of(model)) == taken_out


def test_labels_may_be_packed() -> None:
    """protobuf allows both forms, whatever the schema says."""
    packed = b"\x01" + b"\xff" * 9 + b"\x01" + b"\x05"  # 1, -1, 5
    attribute = b"\x0a\x12classlabels_int64s" + b"\x42" + bytes([len(packed)]) + packed
    node = b"\x12\x01y\x22\x06ZipMap\x3a\x0aai.onnx.ml" + b"\x2a" + bytes([len(attribute)]) + attribute
    graph = b"\x0a" + bytes([len(node)]) + node
    model = b"\x3a" + bytes([len(graph)]) + graph
    assert scan_model(memoryview(model)).class_labels == {"y": (1, -1, 5)}


def sequence(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None)


def test_tensors_of_one_shape_are_stacked(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["negative"]),
        helper.make_node("SequenceConstruct", ["x", "negative"], ["both"]),
    ]
    model, given = load(save(tmp_path / "m.onnx", nodes, [sequence("both")])), inputs()
    found = model.run({"x": given}, ("both",))[0]
    assert np.array_equal(found, [given, -given], equal_nan=True)
    assert model.spec.output_by_name["both"].shape is None


def save_uneven(path: Path) -> Path:
    """As of a classifier of several targets with different numbers of classes, beside an ordinary output."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"]),
        helper.make_node("Flatten", ["x"], ["flat"], axis=0),
        helper.make_node("SequenceConstruct", ["flat", "turned"], ["uneven"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    return save(path, nodes, [onnx_models.value("y", "FP32", ["n", 3]), sequence("uneven")])


def test_tensors_of_different_shapes_are_left_out(tmp_path: Path) -> None:
    model = load(save_uneven(tmp_path / "m.onnx"))
    assert model.spec.output_names == ("y",)
    assert model.spec.left_out == {"uneven": "a sequence of tensors of different shapes"}


def test_tensors_whose_shapes_differ_only_sometimes_are_refused_then(tmp_path: Path) -> None:
    """Of one row the two look alike."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=0),
        helper.make_node("SequenceConstruct", ["flat", "x"], ["both"]),
    ]
    model = load(save(tmp_path / "m.onnx", nodes, [sequence("both")]))
    assert model.run({"x": inputs(1)}, ("both",))[0].shape == (2, 1, 3)
    with pytest.raises(InvalidRequestError, match=r"'both' is a sequence of tensors of the shapes \[1, 6\]"):
        model.run({"x": inputs(2)}, ("both",))


def test_maps_without_known_labels_are_left_out(tmp_path: Path) -> None:
    twice = ["a", "a", "b"]
    nodes = [
        zip_map("x", "twice", twice),
        zip_map("x", "inner", LABELS["texts"]),
        helper.make_node("Identity", ["inner"], ["unknown"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    outputs = [onnx_models.value("y", "FP32", ["n", 3]), maps("twice", twice), maps("unknown", twice)]
    try:
        model = load(save(tmp_path / "m.onnx", nodes, outputs))
    except Exception:  # noqa: BLE001 - not every ONNX Runtime passes maps on
        nodes, outputs = [nodes[0], nodes[3]], outputs[:2]
        model = load(save(tmp_path / "m.onnx", nodes, outputs))
    assert "equal labels" in model.spec.left_out["twice"]
    assert "labels are unknown" in model.spec.left_out.get("unknown", "labels are unknown")
    assert model.spec.output_names == ("y",)


def test_model_of_which_nothing_can_be_served_is_refused_with_the_cause(tmp_path: Path) -> None:
    nodes = [zip_map("x", "twice", ["a", "a", "b"])]
    with pytest.raises(
        ModelRejectedError, match=r"'twice' is a sequence of maps .* equal labels.*zipmap=False"
    ):
        load(save(tmp_path / "m.onnx", nodes, [maps("twice", ["a"])]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    directory = tmp_path_factory.mktemp("compound")
    texts, numbers = LABELS["texts"], LABELS["numbers in another order"]
    files = {
        "texts": save_classifier(directory / "texts.onnx", texts),
        "numbers": save_classifier(directory / "numbers.onnx", numbers),
        "uneven": save_uneven(directory / "uneven.onnx"),
    }
    with ServerThread(files, lane=LaneSettings(max_batch_size=4)) as running:
        yield running


GIVEN = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [0, 0, 0, 1, 1, 1]}
THIRD = pytest.approx(1 / 3)


@pytest.mark.parametrize("binary", [False, True])
def test_scores_are_answered_like_any_output(server: ServerThread, binary: bool) -> None:
    for _ in range(4):
        answer = server.infer("texts", [GIVEN], parameters={"binary_data_output": binary})
        assert answer.status == 200
    if not binary:
        outputs = {output["name"]: output for output in answer.json()["outputs"]}
        assert outputs["probability"]["shape"] == [2, 3]
        assert outputs["probability"]["data"] == [THIRD] * 6
    rows = server.request("POST", "/v1/models/texts:predict", {"instances": [[0, 0, 0]]}).json()
    assert rows == {"predictions": [{"label": 0, "probability": [THIRD] * 3}]}


@pytest.mark.parametrize(
    ("model", "labels"), [("texts", LABELS["texts"]), ("numbers", ["7", "-1", str(2**62)])]
)
def test_classify_names_the_labels(server: ServerThread, model: str, labels: list[str]) -> None:
    body = {"examples": [{"x": [0, 0, 0]}, {"x": [1, 1, 1]}]}
    answer = server.request("POST", f"/v1/models/{model}:classify", body).json()
    assert answer == {"results": [[[label, THIRD] for label in labels]] * 2}
    request = tensorflow_serving_pb2.ClassificationRequest(model_spec={"name": model})
    request.input.example_list.examples.add().features.feature["x"].float_list.value.extend([0, 0, 0])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        classify = channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
        found = tensorflow_serving_pb2.ClassificationResponse.FromString(
            classify(request.SerializeToString())
        )
    (classes,) = found.result.classifications
    assert [(each.label, each.score) for each in classes.classes] == [(label, THIRD) for label in labels]


def test_metadata_has_the_labels_and_says_what_is_left_out(server: ServerThread) -> None:
    document = build_document([], {})
    schema = {"$ref": "#/components/schemas/ModelMetadata", "components": document["components"]}
    described = {name: server.request("GET", f"/v2/models/{name}").json() for name in ("texts", "uneven")}
    for each in described.values():
        jsonschema.Draft202012Validator(schema).validate(each)
    assert described["texts"]["outputs"][1]["parameters"] == {"labels": LABELS["texts"]}
    assert "parameters" not in described["texts"]
    assert described["uneven"]["parameters"] == {
        "left_out_outputs": {"uneven": "a sequence of tensors of different shapes"}
    }
    config = server.request("GET", "/v2/models/numbers/config").json()
    assert config["parameters"]["labels.probability"] == {"string_value": f"[7,-1,{2**62}]"}
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")
        request = inference_pb2.ModelConfigRequest(name="uneven").SerializeToString()
        found = inference_pb2.ModelConfigResponse.FromString(ask(request)).config
        metadata = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
        assert metadata(inference_pb2.ModelMetadataRequest(name="texts").SerializeToString())
    assert "different shapes" in found.parameters["left_out_outputs"].string_value


def test_output_that_is_left_out_is_refused_with_the_cause(server: ServerThread) -> None:
    answer = server.infer("uneven", [GIVEN], outputs=[{"name": "uneven"}])
    assert answer.status == 400
    assert (
        "'uneven' is a sequence of tensors of different shapes, and cannot be served"
        in answer.json()["error"]
    )
    assert server.infer("uneven", [GIVEN]).status == 200
