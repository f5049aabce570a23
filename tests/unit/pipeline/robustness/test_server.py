"""Wrong requests and load against our server, and against servers that fail."""

import json

import numpy as np
import pytest
from tests.unit.pipeline.predict.played_server import doubled, playing
from tests.unit.runtime.onnx_models import ONNX_TYPES

from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.endpoint import EndpointPredictor
from modelservice_pipeline.predict.patience import Clock
from modelservice_pipeline.predict.server import Access
from modelservice_pipeline.robustness.fuzz import describe_trials, fuzz_server
from modelservice_pipeline.robustness.hosts import check_host
from modelservice_pipeline.robustness.requests import build_bodies, build_document
from modelservice_pipeline.robustness.stress import Level, Plan, choose_knee, describe_levels, find_knee

RIGHT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]}


def impatient():
    return Access(clock=Clock(sleep=lambda _: None))


@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "INT64", "BOOL"])
def test_our_server_refuses_every_wrong_request_with_a_sentence(server, datatype):
    assert datatype in ONNX_TYPES
    predictor = EndpointPredictor(f"http://127.0.0.1:{server.port}/v2/models/identity_{datatype}")
    (port,) = predictor.inputs
    value = np.array(["text"], object) if datatype == "BYTES" else np.array([1], port.dtype)
    rows = np.broadcast_to(value, (3, *(2 for _ in port.shape[1:])))
    right = build_document(Dataset("x", {port.name: rows}), predictor.inputs, {}, 0, 1)
    facts = describe_trials(fuzz_server(predictor.infer_url, right, Access(), seed=0))
    assert facts["wrong"] == []
    assert facts["outcomes"]["refused"] > 40


def test_server_that_fails_or_takes_what_is_wrong_is_told():
    def reply(request):
        if request.get("inputs") == []:
            return 500, {}, {"error": "list index out of range"}
        if not isinstance(request.get("inputs"), list) or request["inputs"][0].get("shape") is None:
            return 400, {}, {"message": "no"}
        return 200, {}, {"outputs": []}

    with playing(reply) as played:
        trials = fuzz_server(f"{played.url}/infer", RIGHT, impatient(), seed=0)
    found = {trial.name: trial for trial in trials}
    assert (found["no inputs"].outcome, found["no inputs"].is_good) == ("failed", False)
    assert (found["inputs is null"].outcome, found["inputs is null"].is_good) == ("unclear", False)
    assert (found["negative shape"].outcome, found["negative shape"].is_good) == ("answered", False)
    assert found["one dimension more"].is_good


def test_server_that_dies_ends_the_trial():
    state = {"alive": True}

    def reply(request):
        if request.get("inputs") is None:
            state["alive"] = False
        return doubled(request) if state["alive"] else None

    with playing(reply) as played:
        trials = fuzz_server(f"{played.url}/infer", RIGHT, impatient(), seed=0)
    assert [(trial.name, trial.outcome) for trial in trials][-1] == ("inputs is null", "died")


def test_server_that_refuses_right_requests_is_told():
    with (
        playing(lambda _: (404, {}, {"error": "no such model"})) as played,
        pytest.raises(PipelineError, match=r"answered 404 to a right request.*no such model"),
    ):
        fuzz_server(f"{played.url}/infer", RIGHT, impatient(), seed=0)


def level(clients, rate, p50, shed=0):
    return Level(clients, rate, p50, p50, p50, shed, 0, 0.1)


def test_knee_is_where_more_clients_bring_latency_alone():
    # Capacity of 400 requests/s, and 10 ms of work: four clients fill it, more only wait.
    levels = [level(n, min(100 * n, 400), max(10, n / 400 * 1000)) for n in (1, 2, 4, 8, 16)]
    assert choose_knee(levels).clients == 4


def test_load_rises_until_the_server_refuses_and_is_counted():
    rejected = {"count": 0}

    def reply(request):
        rejected["count"] += 1
        return doubled(request) if rejected["count"] % 2 else (503, {"Retry-After": "1"}, {"error": "busy"})

    with playing(reply) as played:
        bodies = build_bodies(
            Dataset("x", {"x": np.arange(5, dtype=np.float32)}),
            EndpointPredictor(played.url).inputs,
            {},
            2,
        )
        assert [json.loads(body)["inputs"][0]["data"] for body in bodies] == [[0.0, 1.0], [2.0, 3.0]]
        levels = find_knee(f"{played.url}/infer", bodies, Access(), Plan(most_clients=8, seconds=0.3))
    assert len(levels) == 1
    assert levels[0].shed > 0
    assert levels[0].errors == 0
    assert levels[0].requests_per_second > 0
    assert describe_levels(levels)["knee"] == 1


def test_server_without_an_answer_has_no_knee():
    with (
        playing(lambda _: (500, {}, {"error": "x"})) as played,
        pytest.raises(PipelineError, match="answered no request"),
    ):
        find_knee(f"{played.url}/infer", [b"{}"], Access(), Plan(most_clients=2, seconds=0.1))


def test_only_this_machine_is_loaded_unless_it_is_named():
    check_host("http://127.0.0.1:8080/v2/models/m", [])
    check_host("http://localhost:8080", [])
    check_host("http://[::1]:8080", [])
    check_host("http://192.0.2.1:8080", ["192.0.2.1"])
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(PipelineError, match=f"say --allow-host {host}"):
            check_host(f"http://{host}/v2/models/m", [])
