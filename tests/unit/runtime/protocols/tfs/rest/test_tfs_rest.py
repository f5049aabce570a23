"""TensorFlow Serving's REST interface over a socket; the documentation's examples, for our models.

Source: tensorflow/serving `g3doc/api_rest.md`.
"""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.server_thread import Answer, ServerThread

from modelservice_runtime.settings.lanes import LaneSettings

SENSOR_ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
SENSOR_COLUMNS = {
    "tag": ["foo", "bar"],
    "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
}


def post(server: ServerThread, path: str, body: object, **headers: str) -> Answer:
    return server.request("POST", f"/v1/models/{path}", body, headers)


def result(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def error_of(answer: Answer) -> tuple[int, str]:
    document = answer.json()
    assert list(document) == ["error"]
    assert len(answer.body) < 1500
    return answer.status, str(document["error"])


def test_predict_with_a_bare_value_per_instance_answers_bare_values(tfs_server: ServerThread) -> None:
    answer = result(post(tfs_server, "half_plus_three:predict", {"instances": [1.0, 2.0, 5.0]}))
    assert answer == {"predictions": [3.5, 4.0, 5.5]}


def test_predict_in_column_format_of_one_input_answers_the_bare_tensor(tfs_server: ServerThread) -> None:
    for inputs in ([1.0, 2.0, 5.0], {"x": [1.0, 2.0, 5.0]}):
        answer = result(post(tfs_server, "half_plus_three:predict", {"inputs": inputs}))
        assert answer == {"outputs": [3.5, 4.0, 5.5]}


def test_predict_in_row_format_of_several_inputs_answers_objects(tfs_server: ServerThread) -> None:
    answer = result(post(tfs_server, "sensors:predict", {"instances": SENSOR_ROWS}))
    expected = [{f"{name}_out": value for name, value in row.items()} for row in SENSOR_ROWS]
    assert answer == {"predictions": expected}


def test_predict_in_column_format_of_several_inputs_answers_an_object(tfs_server: ServerThread) -> None:
    body = {"inputs": {**SENSOR_COLUMNS, "unknown": 1}, "signature_name": "serving_default"}
    answer = result(post(tfs_server, "sensors:predict", body))
    assert answer == {"outputs": {f"{name}_out": value for name, value in SENSOR_COLUMNS.items()}}


def test_predict_of_instances_as_objects_with_the_only_input(tfs_server: ServerThread) -> None:
    answer = result(post(tfs_server, "half_plus_three:predict", {"instances": [{"x": 1}, {"x": 2}]}))
    assert answer == {"predictions": [3.5, 4.0]}


def test_predict_of_strings_takes_text_and_base64(tfs_server: ServerThread) -> None:
    encoded = {"b64": base64.b64encode(b"aW1hZ2UgYnl0ZXM=").decode()}
    answer = result(post(tfs_server, "text:predict", {"instances": [encoded, "foo"]}))
    assert answer == {"predictions": ["aW1hZ2UgYnl0ZXM=", "foo"]}
    assert result(post(tfs_server, "text:predict", {"inputs": [encoded]}))["outputs"] == ["aW1hZ2UgYnl0ZXM="]


def test_predict_output_named_bytes_is_base64(tfs_server: ServerThread) -> None:
    rows = [{"image": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"}]
    answer = result(post(tfs_server, "images:predict", {"instances": rows}))
    assert answer == {"predictions": [{"image_bytes": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption_out": "seaside"}]}
    columns = {"image": ["image bytes"], "caption": ["seaside"]}
    answer = result(post(tfs_server, "images:predict", {"inputs": columns}))
    assert answer["outputs"]["image_bytes"] == [{"b64": "aW1hZ2UgYnl0ZXM="}]


def test_predict_takes_and_gives_tokens_for_non_finite_numbers(tfs_server: ServerThread) -> None:
    body = b'{"instances": [NaN, Infinity, -Infinity, 1.0]}'
    answer = post(tfs_server, "half_plus_three:predict", body)
    assert answer.status == 200
    assert answer.body == b'{"predictions":[NaN,Infinity,-Infinity,3.5]}'
    assert post(tfs_server, "log:predict", b'{"inputs": [0, -1]}').body == b'{"outputs":[-Infinity,NaN]}'
    row = b'{"tag":"NaN","signal":[1,2,3,4,5],"sensor":[[NaN,1],[-Infinity,2]]}'
    answer = post(tfs_server, "sensors:predict", b'{"instances":[' + row + b"]}")
    assert b'"tag_out":"NaN"' in answer.body
    assert b'"sensor_out":[[NaN,1.0],[-Infinity,2.0]]' in answer.body
    rows = b'{"examples": [{"x": [NaN, -Infinity]}, {"x": [1, 2]}]}'
    assert post(tfs_server, "classifier:classify", rows).body == (
        b'{"results":[[["ham",NaN],["spam",-Infinity]],[["ham",1.0],["spam",2.0]]]}'
    )


def test_predict_of_scalar_output_needs_column_format(tfs_server: ServerThread) -> None:
    body = [[1, 2, 3, 4], [1, 2, 3, 4]]
    assert result(post(tfs_server, "total:predict", {"inputs": body})) == {"outputs": 20.0}
    status, sentence = error_of(post(tfs_server, "total:predict", {"instances": body}))
    assert (status, sentence[:10]) == (400, "output 'y'")
    token = b'{"inputs": [[NaN, 2, 3, 4]]}'
    assert post(tfs_server, "total:predict", token).body == b'{"outputs":NaN}'


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("identity_FP16", [0.5, -65504.0]),
        ("identity_BF16", [1.5, -2.0]),
        ("identity_BOOL", [True, False]),
    ],
)
def test_predict_of_other_datatypes_round_trips(
    tfs_server: ServerThread, model: str, values: list[Any]
) -> None:
    assert result(post(tfs_server, f"{model}:predict", {"instances": values})) == {"predictions": values}


def test_predict_of_a_gzip_body_answers_gzip_where_it_is_large(tfs_server: ServerThread) -> None:
    body = gzip.compress(json.dumps({"instances": [1.5] * 1000}).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = post(tfs_server, "half_plus_three:predict", body, **headers)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body)) == {"predictions": [3.75] * 1000}


def test_regress_answers_a_number_per_example(tfs_server: ServerThread) -> None:
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": [2.0]}]}
    assert result(post(tfs_server, "half_plus_three:regress", body)) == {"results": [3.5, 4.0]}
    body = {"context": {"x": 2}, "examples": [{}, {"other": "ignored"}]}
    assert result(post(tfs_server, "half_plus_three:regress", body)) == {"results": [4.0, 4.0]}


def test_classify_answers_pairs_of_label_and_score(tfs_server: ServerThread) -> None:
    body = {"examples": [{"x": [0.25, 0.75]}, {"x": [1, 0]}]}
    answer = result(post(tfs_server, "classifier:classify", body))
    assert answer == {"results": [[["ham", 0.25], ["spam", 0.75]], [["ham", 1.0], ["spam", 0.0]]]}


def test_classify_without_labels_has_empty_ones(tfs_server: ServerThread) -> None:
    answer = result(post(tfs_server, "mlp:classify", {"examples": [{"x": [1, 2, 3, 4]}]}))
    ((first, *others),) = answer["results"]
    assert first[0] == ""
    assert len(others) == 2


def test_status_lists_versions_and_states(tfs_server: ServerThread) -> None:
    status = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("mlp", "mlp/versions/1", "mlp/versions/001"):
        answer = tfs_server.request("GET", f"/v1/models/{path}")
        assert result(answer) == {"model_version_status": [status]}
    tfs_server.loop.call_soon_threadsafe(tfs_server.table.start_loading, "mlp", "2")
    try:
        answer = result(tfs_server.request("GET", "/v1/models/mlp"))
        assert answer["model_version_status"][1] == {**status, "version": "2", "state": "LOADING"}
        assert tfs_server.request("GET", "/v1/models/mlp/versions/2").status == 200
        assert post(tfs_server, "mlp/versions/2:predict", {"inputs": []}).status == 503
    finally:
        tfs_server.table._entries.pop(("mlp", "2"))


def test_metadata_has_the_signature_in_tensorflows_words(tfs_server: ServerThread) -> None:
    def info(name: str, dtype: str, *sizes: str) -> dict[str, Any]:
        dim = [{"size": size, "name": ""} for size in sizes]
        return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": name}

    assert result(tfs_server.request("GET", "/v1/models/two/versions/1/metadata")) == {
        "model_spec": {"name": "two", "signature_name": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {
                            "a": info("a", "DT_FLOAT", "-1", "2"),
                            "b": info("b", "DT_FLOAT", "-1", "2"),
                            "text": info("text", "DT_STRING", "-1"),
                        },
                        "outputs": {
                            "sum": info("sum", "DT_FLOAT", "-1", "2"),
                            "copy": info("copy", "DT_STRING", "-1"),
                        },
                        "method_name": "tensorflow/serving/predict",
                    }
                }
            }
        },
    }
    unranked = result(tfs_server.request("GET", "/v1/models/expand/metadata"))
    signature = unranked["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["outputs"]["y"]["tensor_shape"] == {"dim": [], "unknown_rank": True}


def test_version_0_is_the_default_where_no_version_has_that_number(model_files: dict[str, Path]) -> None:
    """OpenVINO Model Server's client sends it with every request."""
    with ServerThread({"mlp": model_files["mlp"]}) as server:
        body = {"instances": [[1, 2, 3, 4]]}
        assert result(post(server, "mlp/versions/0:predict", body)) == result(
            post(server, "mlp:predict", body)
        )
        answer = result(server.request("GET", "/v1/models/mlp/versions/0"))
        assert [entry["version"] for entry in answer["model_version_status"]] == ["1"]
        server.loop.call_soon_threadsafe(server.table.start_loading, "mlp", "0")
        assert post(server, "mlp/versions/0:predict", body).status == 503
        assert post(server, "unknown/versions/0:predict", body).status == 404


def test_labels_lead_to_versions(model_files: dict[str, Path]) -> None:
    with ServerThread({"mlp": model_files["mlp"]}) as server:
        body = {"instances": [[1, 2, 3, 4]]}
        status, sentence = error_of(post(server, "mlp/labels/stable:predict", body))
        assert (status, sentence) == (404, "model 'mlp' has no version label 'stable'; it has []")
        server.loop.call_soon_threadsafe(server.table.set_label, "mlp", "stable", "1")
        expected = result(post(server, "mlp/versions/1:predict", body))
        assert result(post(server, "mlp/labels/stable:predict", body)) == expected
        assert result(post(server, "mlp/labels/st%61ble:predict", body)) == expected
        answer = result(server.request("GET", "/v1/models/mlp/labels/stable"))
        assert [entry["version"] for entry in answer["model_version_status"]] == ["1"]
        answer = result(server.request("GET", "/v1/models/mlp/labels/stable/metadata"))
        assert answer["model_spec"]["version"] == "1"


@pytest.mark.parametrize(
    "path",
    [
        "half_plus_three:PREDICT",
        "half%5fplus_three:Predict",
        "half_plus_three/VERSIONS/1:predict",
        "%68alf_plus_three:predict?x=1",
        "half_plus_three%3Apredict",
        "half_plus_three/versions/1%3apredict",
    ],
)
def test_fixed_words_match_in_any_case_and_names_are_decoded(tfs_server: ServerThread, path: str) -> None:
    assert result(post(tfs_server, path, {"instances": [1.0]})) == {"predictions": [3.5]}


@pytest.mark.parametrize(
    ("method", "path", "status", "part"),
    [
        ("POST", "half:predict", 404, "model 'half' is unknown"),
        ("POST", "Half_Plus_Three:predict", 404, "is unknown"),
        ("POST", "mlp/versions/2:predict", 404, "has no version '2'"),
        ("GET", "half", 404, "no 'half'"),
        ("GET", "mlp/versions/2", 404, "no version '2'"),
        ("GET", "mlp/labels/stable", 404, "no version label 'stable'"),
        ("GET", "half/metadata", 404, "is unknown"),
        ("GET", "mlp%3Aother", 404, "no 'mlp:other'"),
        ("GET", "mlp%2Fmetadata", 404, "no 'mlp/metadata'"),
        ("POST", "mlp:explain", 404, "no such path"),
        ("POST", "mlp:predict:predict", 404, "no such path"),
        ("POST", "mlp/versions/1/labels/a:predict", 404, "no such path"),
        ("GET", "mlp/", 404, "no such path"),
        ("GET", "%ff", 404, "no such path"),
        ("GET", "mlp:predict", 405, "this path takes POST"),
        ("POST", "mlp", 405, "this path takes GET, HEAD"),
    ],
)
def test_paths_that_lead_nowhere_are_404_and_wrong_methods_405(
    tfs_server: ServerThread, method: str, path: str, status: int, part: str
) -> None:
    answer = tfs_server.request(method, f"/v1/models/{path}", {} if method == "POST" else None)
    assert error_of(answer)[0] == status
    assert part in error_of(answer)[1]


HALF, SENSORS = "half_plus_three:predict", "sensors:predict"
BAD_REQUESTS: list[tuple[str, str, object, str]] = [
    ("no json", HALF, b"{", "not valid JSON"),
    ("empty", HALF, b"", "the body is empty"),
    ("no object", HALF, b"[NaN]", "must be a JSON object"),
    ("neither key", HALF, {}, "either 'instances' or 'inputs'"),
    ("both keys", HALF, {"instances": [1], "inputs": [1]}, "either 'instances' or 'inputs'"),
    ("signature unknown", HALF, {"instances": [1], "signature_name": "q"}, "signature 'q' is unknown"),
    ("signature no string", HALF, {"instances": [1], "signature_name": 1}, "must be a string"),
    ("instances no array", HALF, {"instances": {"x": 1}}, "must be an array"),
    ("no instance", HALF, {"instances": []}, "at least one instance"),
    ("object among values", HALF, {"instances": [1, {"x": 1}]}, "instance 1 is an object"),
    ("value among objects", HALF, {"instances": [{"x": 1}, 1]}, "instance 1 is no object"),
    ("base64 among objects", HALF, {"instances": [{"x": 1}, {"b64": "YQ=="}]}, "instance 1 is no object"),
    ("base64 for numbers", HALF, {"instances": [{"b64": "YQ=="}]}, "input 'x'"),
    ("plain list for many", SENSORS, {"instances": [1]}, "the inputs tag, signal, sensor"),
    ("plain value for many", SENSORS, {"inputs": [1]}, "an object with tag, signal, sensor"),
    ("input missing in row", SENSORS, {"instances": [{"tag": "a"}]}, "'signal' is missing"),
    ("input unknown in row", HALF, {"instances": [{"x": 1, "z": 2}]}, "'z' is unknown"),
    ("input missing in columns", SENSORS, {"inputs": {"tag": ["a"]}}, "missing input: 'signal' INT64"),
    ("rows of unlike shape", HALF, {"instances": [1, [2]]}, "value 1 is an array"),
    ("rows of unlike length", "mlp:predict", {"instances": [[1, 2, 3, 4], [1, 2]]}, "rows differ in length"),
    ("wrong width", "mlp:predict", {"instances": [[1, 2]]}, "expects [-1, 4]"),
    ("wrong rank", "mlp:predict", {"inputs": 5}, "shape [], but the model expects"),
    ("deep nesting", "mlp:predict", b'{"inputs":' + b"[" * 50 + b"]" * 50 + b"}", "more deeply than 32"),
    ("text for numbers", HALF, {"instances": ["a"]}, 'value 0 is "a"'),
    ("null for numbers", HALF, {"instances": [None]}, "value 0 is null"),
    ("boolean for numbers", HALF, {"instances": [True]}, "a boolean among FP32"),
    ("number for text", "text:predict", {"instances": [1]}, "needs strings"),
    ("bad base64", "text:predict", {"instances": [{"b64": "!"}]}, "not base64"),
    ("base64 with more", "text:predict", {"instances": [{"b64": "YQ==", "c": 1}]}, "'c' is unknown"),
    ("float into int", "gather:predict", {"instances": [1.5]}, "value 0 is 1.5"),
    ("whole float into int", "gather:predict", {"instances": [1.0]}, "value 0 is 1.0"),
    ("float out of range", HALF, {"instances": [1e39]}, "range of FP32"),
    ("token for int", "gather:predict", b'{"instances": [NaN]}', "value 0 is NaN"),
    ("token for text", "text:predict", b'{"instances": [NaN]}', "needs strings"),
    ("token misspelt", HALF, b'{"instances": [NaN, nan]}', "not valid JSON"),
    ("token and duplicate key", HALF, b'{"instances": [NaN], "instances": [1]}', "appears twice"),
    ("token and depth", HALF, b'{"instances": [NaN], "x": ' + b"[" * 100_000, "not valid JSON"),
    ("token and bad text", HALF, b'{"instances": [NaN], "\xff": 1}', "not Unicode"),
    ("token and surrogate", "text:predict", b'{"instances": ["NaN\\ud800"]}', "not valid JSON"),
    ("token and huge integer", HALF, b'{"instances": [NaN, ' + b"1" * 10_000 + b"]}", "too many digits"),
    ("index out of bounds", "gather:predict", {"instances": [99]}, "the model refused the input"),
    ("no examples", "mlp:classify", {}, "'examples' must be an array"),
    ("empty examples", "mlp:classify", {"examples": []}, "'examples' must be an array"),
    ("example no object", "mlp:classify", {"examples": [1]}, "example 0 must be an object"),
    ("context no object", "mlp:classify", {"context": 1, "examples": [{}]}, "'context' must be an object"),
    ("feature twice", "mlp:classify", {"context": {"x": 1}, "examples": [{"x": 1}]}, "repeats a feature"),
    ("feature missing", "mlp:classify", {"examples": [{"z": 1}]}, "lacks the feature 'x' FP32 [-1, 4]"),
    ("feature too short", "mlp:classify", {"examples": [{"x": [1, 2]}]}, "has 2 values, but shape"),
    ("features differ", "mlp:classify", {"examples": [{"x": [1, 2, 3, 4]}, {"x": 1}]}, "but 4 in those"),
    ("feature nested", "mlp:classify", {"examples": [{"x": [[1]]}]}, "a flat list"),
    ("feature null", "mlp:classify", {"examples": [{"x": None}]}, "a flat list"),
    ("wrong signature", "mlp:classify", {"signature_name": "tensorflow/serving/regress"}, "is unknown"),
    ("no scores", "text:classify", {"examples": [{"x": "a"}]}, "model 'text' cannot classify"),
    ("no value", "text:regress", {"examples": [{"x": "a"}]}, "model 'text' cannot regress"),
    ("too many values", "mlp:regress", {"examples": [{"x": [1, 2, 3, 4]}]}, "has shape [1, 3]"),
    ("one score for all", "total:classify", {"examples": [{"x": [1, 2, 3, 4]}]}, "has shape []"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "part"), [case[1:] for case in BAD_REQUESTS], ids=[case[0] for case in BAD_REQUESTS]
)
def test_bad_request_is_400_with_a_sentence(
    tfs_server: ServerThread, path: str, body: object, part: str
) -> None:
    status, sentence = error_of(post(tfs_server, path, body))
    assert status == 400, sentence
    assert part in sentence


def test_run_that_fails_is_500_and_counted(tfs_server: ServerThread) -> None:
    def failures() -> int:
        stats = tfs_server.request("GET", "/v2/models/pairs/stats").json()["model_stats"][0]
        return int(stats["inference_stats"]["fail"]["count"])

    before = failures()
    status, sentence = error_of(post(tfs_server, "pairs:predict", {"instances": [1, 2, 3]}))
    assert (status, sentence[:27]) == (500, "the model failed on this in")
    assert error_of(post(tfs_server, "pairs:predict", {"instances": [1, "a"]}))[0] == 400
    assert failures() == before + 2


def test_answer_that_cannot_be_written_counts_as_failed(tfs_server: ServerThread) -> None:
    def counts() -> tuple[int, int]:
        stats = tfs_server.request("GET", "/v2/models/total/stats").json()["model_stats"][0]
        return stats["inference_stats"]["success"]["count"], stats["inference_stats"]["fail"]["count"]

    success, fail = counts()
    assert post(tfs_server, "total:predict", {"instances": [[1, 2, 3, 4]]}).status == 400
    assert counts() == (success, fail + 1)


def test_requests_share_a_batch_with_those_of_the_other_protocol(model_files: dict[str, Path]) -> None:
    lane = LaneSettings(max_batch_size=4, max_delay_seconds=0.0, inline_below_seconds=0.0)
    with ServerThread({"mlp": model_files["mlp"]}, lane=lane) as server:
        alone = result(post(server, "mlp:predict", {"instances": [[1, 2, 3, 4]]}))["predictions"][0]
        other = server.infer(
            "mlp", [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
        )
        assert other.json()["outputs"][0]["data"] == pytest.approx(alone, rel=1e-5)
