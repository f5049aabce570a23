"""Classify and Regress over gRPC."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.protos import tensorflow_serving_pb2 as pb


@pytest.fixture(scope="module")
def channel(tfs_server: ServerThread) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{tfs_server.grpc_port}") as opened:
        yield opened


def call(channel: grpc.Channel, request: Any) -> Any:
    method, response = {
        pb.ClassificationRequest: ("Classify", pb.ClassificationResponse),
        pb.RegressionRequest: ("Regress", pb.RegressionResponse),
    }[type(request)]
    path = f"/tensorflow.serving.PredictionService/{method}"
    return channel.unary_unary(path, response_deserializer=response.FromString)(request.SerializeToString())


def add_floats(example: Any, name: str, *values: float) -> None:
    example.features.feature[name].float_list.value.extend(values)


def test_classify_answers_labels_and_scores(channel: grpc.Channel) -> None:
    request = pb.ClassificationRequest(model_spec={"name": "classifier"})
    for values in ((0.25, 0.75), (1, 0)):
        add_floats(request.input.example_list.examples.add(), "x", *values)
    response = call(channel, request)
    found = [
        [(each.label, each.score) for each in classifications.classes]
        for classifications in response.result.classifications
    ]
    assert found == [[("ham", 0.25), ("spam", 0.75)], [("ham", 1), ("spam", 0)]]
    assert (response.model_spec.name, response.model_spec.version.value) == ("classifier", 1)


def test_version_0_is_the_default(channel: grpc.Channel) -> None:
    request = pb.ClassificationRequest(model_spec={"name": "mlp", "version": {"value": 0}})
    add_floats(request.input.example_list.examples.add(), "x", 1, 2, 3, 4)
    assert call(channel, request).model_spec.version.value == 1


def test_classify_without_labels_has_empty_ones(channel: grpc.Channel) -> None:
    request = pb.ClassificationRequest(model_spec={"name": "mlp"})
    add_floats(request.input.example_list.examples.add(), "x", 1, 2, 3, 4)
    (classifications,) = call(channel, request).result.classifications
    assert [each.label for each in classifications.classes] == ["", "", ""]


def test_regress_answers_a_number_for_each_example(channel: grpc.Channel) -> None:
    request = pb.RegressionRequest(model_spec={"name": "half_plus_three"})
    for value in (1, 2, 5):
        add_floats(request.input.example_list.examples.add(), "x", value)
    assert [each.value for each in call(channel, request).result.regressions] == [3.5, 4, 5.5]


def test_examples_count_for_their_protocol(channel: grpc.Channel, tfs_server: ServerThread) -> None:
    statistics = tfs_server.table.find("mlp", None).statistics
    before = statistics.arrivals["tfs-grpc"]
    request = pb.ClassificationRequest(model_spec={"name": "mlp"})
    add_floats(request.input.example_list.examples.add(), "x", 1, 2, 3, 4)
    call(channel, request)
    assert statistics.arrivals["tfs-grpc"] == before + 1


def test_context_is_part_of_every_example(channel: grpc.Channel) -> None:
    request = pb.RegressionRequest(model_spec={"name": "half_plus_three"})
    listed = request.input.example_list_with_context
    add_floats(listed.context, "x", 4)
    listed.examples.add()
    listed.examples.add().features.feature["other"].bytes_list.value.append(b"text")
    assert [each.value for each in call(channel, request).result.regressions] == [5, 5]


def empty(_example: Any) -> None:
    pass


def broken_text(example: Any) -> None:
    example.features.feature["x"].bytes_list.value.append(b"\xff")


@pytest.mark.parametrize(
    ("model", "change", "sentence"),
    [
        ("half_plus_three", empty, "example 0 lacks the feature 'x' FP32"),
        ("half_plus_three", lambda example: add_floats(example, "x", 1, 2), "has 2 values"),
        ("half_plus_three", broken_text, "not UTF-8"),
        ("text", empty, "cannot regress"),
        ("nothing", empty, "unknown"),
    ],
)
def test_wrong_request_is_refused(
    channel: grpc.Channel, model: str, change: Callable[[Any], None], sentence: str
) -> None:
    request = pb.RegressionRequest(model_spec={"name": model})
    change(request.input.example_list.examples.add())
    with pytest.raises(grpc.RpcError, match=sentence) as refused:
        call(channel, request)
    assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


def test_input_without_examples_or_of_too_many_bytes_is_refused(channel: grpc.Channel) -> None:
    request = pb.RegressionRequest(model_spec={"name": "half_plus_three"})
    with pytest.raises(grpc.RpcError, match="at least one example"):
        call(channel, request)
    add_floats(request.input.example_list.examples.add(), "other", *[1.0] * (1 << 20))
    with pytest.raises(grpc.RpcError, match="examples may have 4194304"):
        call(channel, request)
