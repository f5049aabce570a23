"""Triton's generate extension over a played model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.runtime.protocols.openai.played_model import PlayedLane, echo, make_model
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.errors import InferenceFailedError, OverloadedError

PATH = "/v2/models/chat/generate"


@pytest.fixture(scope="module")
def lane() -> PlayedLane:
    return PlayedLane()


@pytest.fixture(scope="module")
def generating(lane: PlayedLane) -> Iterator[ServerThread]:
    model = make_model(adapters=("polite",))
    object.__setattr__(model, "lane", lane)
    with ServerThread({}, publish=lambda server: server.table.publish_generative(model)) as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh(lane: PlayedLane) -> None:
    lane.__dict__.update(PlayedLane().__dict__)


def events(body: bytes) -> list[Any]:
    *told, last = body.decode().split("\n\n")
    assert last == ""
    return [json.loads(event.removeprefix("data: ")) for event in told]


def test_a_whole_text_and_one_in_pieces(generating: ServerThread) -> None:
    head = {"model_name": "chat", "model_version": "1", "id": "7"}
    body = {"text_input": "Grüße", "id": "7"}
    assert generating.request("POST", PATH, body).json() == {**head, "text_output": "Grüße"}
    answer = generating.request("POST", "/v2/models/chat/versions/1/generate_stream", body)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert events(answer.body) == [{**head, "text_output": "Gr"}, {**head, "text_output": "üße"}]


def test_parameters_of_either_place_reach_the_lane(generating: ServerThread, lane: PlayedLane) -> None:
    parameters = {"temperature": 0, "stop_words": ["a"], "random_seed": 4, "exclude_input_in_output": False}
    body = {"text_input": "b", "max_tokens": 3, "parameters": parameters}
    assert generating.request("POST", PATH, body).json()["text_output"] == "bb"
    request = lane.begun[0].request
    assert (request.max_tokens, request.stop, request.sampling.seed) == (3, ("a",), 4)
    assert request.sampling.temperature == 0


@pytest.mark.parametrize("is_parameter", [False, True])
def test_sampling_that_is_written_as_a_text_reaches_the_lane(
    generating: ServerThread, lane: PlayedLane, is_parameter: bool
) -> None:
    """As clients of Triton's vLLM back end send it."""
    written = {"sampling_parameters": json.dumps({"max_tokens": 3, "temperature": 0, "stop": ["a"]})}
    sampling = {"parameters": written} if is_parameter else written
    body = {"text_input": "b", "exclude_input_in_output": True, **sampling}
    assert generating.request("POST", PATH, body).status == 200
    request = lane.begun[0].request
    assert (request.max_tokens, request.stop, request.sampling.temperature) == (3, ("a",), 0)


@pytest.mark.parametrize("nothing", ["", [""], []])
def test_words_that_are_empty_are_none(generating: ServerThread, lane: PlayedLane, nothing: object) -> None:
    body = {"text_input": "a", "max_tokens": 20, "bad_words": nothing, "stop_words": nothing}
    answer = generating.request("POST", PATH, body)
    assert answer.status == 200, answer.body
    request = lane.begun[0].request
    assert (request.max_tokens, request.stop) == (20, ())


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "text_input"),
        ({"text_input": 1}, "text_input"),
        ({"text_input": ""}, None),
        ({"text_input": "a", "parameters": []}, "parameters"),
        ({"text_input": "a", "n": 2}, "'n'"),
        ({"text_input": "a", "temperature": -1}, "temperature"),
        ({"text_input": "a", "bad_words": ["b"]}, "'bad_words'"),
        ({"text_input": "a", "stop_words": ["b", ""]}, "'stop_words'"),
        ({"text_input": "a", "stop": ""}, "'stop'"),
        ({"text_input": "a", "sampling_parameters": {}}, "'sampling_parameters'"),
        ({"text_input": "a", "sampling_parameters": "{"}, "'sampling_parameters' is not JSON"),
        ({"text_input": "a", "sampling_parameters": "{" * 70_000}, "'sampling_parameters' has 70000 lists"),
        ({"text_input": "a", "parameters": {"random_seed": "x"}}, "'random_seed'"),
        ({"text_input": "a" * 1001}, "shorten the text_input"),
    ],
)
def test_what_cannot_be_done_is_refused_in_tritons_words(
    generating: ServerThread, body: Any, word: str | None
) -> None:
    answer = generating.request("POST", PATH, body)
    assert answer.status == (200 if word is None else 400)
    assert word is None or word in answer.json()["error"]


def test_faults_before_and_within_a_stream(generating: ServerThread, lane: PlayedLane) -> None:
    lane.refusal, lane.room = OverloadedError("too many wait", 3), 0
    refused = generating.request("POST", PATH + "_stream", {"text_input": "a"})
    assert (refused.status, refused.headers["Retry-After"]) == (429, "3")
    lane.refusal = None
    lane.script = lambda generation: generation.say("", error=InferenceFailedError("the model failed"))
    answer = generating.request("POST", PATH + "_stream", {"text_input": "a"})
    assert events(answer.body) == [{"error": "the model failed"}]
    lane.script = echo


def test_the_model_is_listed_and_ready_and_has_no_tensors(generating: ServerThread) -> None:
    assert generating.request("GET", "/v2/models").json() == {"models": ["chat", "polite"]}
    for name in ("chat", "polite"):
        for path in (f"/v2/models/{name}/ready", f"/v2/models/{name}/versions/1/ready"):
            assert generating.request("GET", path).json() == {"name": name, "ready": True}
        assert generating.request("GET", f"/v2/models/{name}/versions/2/ready").status == 404
        refused = [generating.infer(name, []), generating.request("GET", f"/v2/models/{name}")]
        for answer in refused:
            assert (answer.status, "generates text" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(("name", "adapter"), [("chat", None), ("polite", "polite")])
def test_an_adapter_is_asked_for_as_a_model(
    generating: ServerThread, lane: PlayedLane, name: str, adapter: str | None
) -> None:
    body, path = {"text_input": "Grüße"}, f"/v2/models/{name}/versions/1/generate"
    whole = {"model_name": name, "model_version": "1", "text_output": "Grüße"}
    assert generating.request("POST", path, body).json() == whole
    told = events(generating.request("POST", path + "_stream", body).body)
    assert ("".join(event["text_output"] for event in told), told[0]["model_name"]) == ("Grüße", name)
    assert [begun.request.adapter for begun in lane.begun] == [adapter, adapter]


def test_other_versions_and_models_of_tensors_are_refused(generating: ServerThread) -> None:
    assert generating.request("POST", "/v2/models/none/generate", {"text_input": "a"}).status == 404
    answer = generating.request("POST", "/v2/models/chat/versions/2/generate", {"text_input": "a"})
    assert (answer.status, "it has ['1']" in answer.json()["error"]) == (404, True)
