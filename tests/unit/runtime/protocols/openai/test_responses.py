"""Responses, asked by the unmodified package `openai`, and held to its types."""

import json
import time
from typing import Any

import jsonschema
import openai
import pydantic
import pytest
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS, Played
from tests.unit.runtime.protocols.openai.played_model import PlayedGeneration
from tests.unit.runtime.protocols.openai.response_types import checked_event, checked_response

from modelservice_runtime.errors import InferenceFailedError, OverloadedError
from modelservice_runtime.generation.values import Finish, FormKind
from modelservice_runtime.protocols.openapi.document import build_document

HELLO = "Grüße, 世界 👋"
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
FLAT: dict[str, Any] = {"type": "function", "name": "f", "description": "d", "parameters": PARAMETERS}
OTHER: dict[str, Any] = {"type": "function", "name": "g", "strict": True}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": PARAMETERS}}


def ask(client: openai.OpenAI, content: Any = HELLO, **fields: Any) -> Any:
    return client.responses.create(model="chat", input=content, **fields)


def raw(played: Played, content: Any = HELLO, **fields: Any) -> Any:
    body = {"model": "chat", "input": content, **fields}
    return played.server.request("POST", "/v1/responses", body)


def stream(played: Played, content: Any = HELLO, **fields: Any) -> list[dict[str, Any]]:
    """The events as they came: each of its type and number, and nothing but events."""
    answer = raw(played, content, stream=True, **fields)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    frames = answer.body.decode().split("\n\n")
    assert frames.pop() == ""
    events = []
    for number, frame in enumerate(frames):
        kind, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert (kind, event["sequence_number"]) == (f"event: {event['type']}", number)
        checked_event(event)
        events.append(event)
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_whole_answer(played: Played) -> None:
    document = raw(played, store=True, metadata={"a": "b"}).json()
    response = checked_response(document)
    (message,) = response.output
    assert message.type == "message"
    size = len(HELLO)
    assert document == {
        "id": response.id, "object": "response", "created_at": response.created_at,
        "completed_at": response.completed_at, "status": "completed", "error": None,
        "incomplete_details": None, "model": "chat",
        "output": [{
            "id": message.id, "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": HELLO}],
        }],
        "usage": {
            "input_tokens": size, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": size, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2 * size,
        },
        "background": False, "instructions": None, "max_output_tokens": None, "max_tool_calls": None,
        "metadata": {"a": "b"}, "parallel_tool_calls": True, "previous_response_id": None,
        "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None}, "safety_identifier": None,
        "service_tier": "default", "store": False,
        "text": {"format": {"type": "text"}, "verbosity": None}, "tool_choice": "auto", "tools": [],
        "top_logprobs": 0, "truncation": "disabled", "user": None, "temperature": 1.0, "top_p": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip
    assert response.id.startswith("resp_")
    assert message.id.startswith("msg_")
    assert response.completed_at is not None
    assert response.created_at <= response.completed_at <= time.time() + 1
    assert abs(response.created_at - time.time()) < PATIENCE_SECONDS


def test_answers_are_those_of_the_document(played: Played) -> None:
    components = build_document([], {})["components"]
    schema = {"$ref": "#/components/schemas/Response", "components": components}
    for fields in ({}, {"tools": [FLAT], "tool_choice": "required", "instructions": "a", "user": "u"}):
        jsonschema.Draft202012Validator(schema).validate(raw(played, "<f{}>", **fields).json())


def test_the_events_of_a_text(played: Played) -> None:
    events = stream(played)
    assert kinds(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    created, progress, item, part, *deltas, text, part_done, item_done, completed = events
    assert created["response"] == progress["response"]
    assert (created["response"]["status"], created["response"]["output"]) == ("in_progress", [])
    assert (item["item"]["status"], item["item"]["content"]) == ("in_progress", [])
    assert part["part"]["text"] == ""
    assert [delta["delta"] for delta in deltas] == ["Gr", "üße, 世界 👋"]
    assert text["text"] == part_done["part"]["text"] == HELLO
    whole = completed["response"]
    assert whole["output"] == [item_done["item"]]
    assert (whole["id"], whole["status"]) == (created["response"]["id"], "completed")
    assert item_done["item"]["content"] == [part_done["part"]]
    assert len({event["item_id"] for event in [part, *deltas, text, part_done]} | {item["item"]["id"]}) == 1
    assert whole["usage"] == raw(played).json()["usage"]


def test_a_stream_begins_before_its_text(played: Played, client: openai.OpenAI) -> None:
    played.lane.script = None
    with ask(client, stream=True) as events:
        assert [next(events).type, next(events).type] == ["response.created", "response.in_progress"]
        (begun,) = played.lane.begun
        played.call(lambda: begun.say("later", Finish.STOP))
        assert [event.type for event in events][-1] == "response.completed"


def test_the_client_reads_streams_and_models_of_pydantic(played: Played, client: openai.OpenAI) -> None:
    class City(pydantic.BaseModel):
        name: str

    rome = '{"name": "Rome"}'
    parsed = client.responses.parse(model="chat", input=rome, text_format=City)
    assert parsed.output_parsed == City(name="Rome")
    (form,) = played.text.forms
    assert (form.kind, form.value["required"]) == (FormKind.JSON_SCHEMA, ["name"])
    with client.responses.stream(model="chat", input=rome, text_format=City) as events:
        final = events.until_done().get_final_response()
    assert final.output_parsed == City(name="Rome")
    assert final.text is not None
    assert final.text.format is not None
    assert final.text.format.type == "json_schema"


def test_every_field_of_sampling_reaches_the_lane(played: Played, client: openai.OpenAI) -> None:
    answer = ask(
        client, temperature=0.25, top_p=0.5, max_output_tokens=7, user="u", safety_identifier="s",
        prompt_cache_key="k", service_tier="flex", truncation="auto", max_tool_calls=3,
        reasoning={"effort": "low", "summary": "auto"}, text={"verbosity": "low"},
        include=["reasoning.encrypted_content"], stream_options={"include_obfuscation": False},
        extra_body={
            "top_k": 4, "min_p": 0.125, "seed": -3, "stop": ["a"], "frequency_penalty": 2, "priority": -2,
            "cache_salt": "salt", "chat_template_kwargs": {"enable_thinking": False}, "unheard_of": [1],
            "n": 1, "logprobs": False, "background": False, "previous_response_id": None,
        },
    )  # fmt: skip
    (one,) = [begun.request for begun in played.lane.begun]
    sampling = one.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.25, 0.5, 4, 0.125)
    assert (sampling.seed, sampling.frequency_penalty, sampling.logprobs) == (-3, 2, None)
    assert (one.max_tokens, one.stop, one.priority, one.cache_salt) == (7, ("a",), -2, "salt")
    assert played.text.rendered[0][2]["enable_thinking"] is False
    assert (answer.temperature, answer.top_p, answer.max_output_tokens, answer.max_tool_calls) == (
        0.25, 0.5, 7, 3,
    )  # fmt: skip
    assert (answer.user, answer.safety_identifier, answer.prompt_cache_key) == ("u", "s", "k")
    assert (answer.service_tier, answer.truncation, answer.text.verbosity) == ("default", "disabled", "low")
    assert (answer.reasoning.effort, answer.reasoning.summary) == ("low", "auto")


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
RESULT = {"role": "tool", "content": "sunny", "tool_call_id": "c1"}
ASSISTANT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}
USER = {"role": "user", "content": "weather?"}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ([USER], [USER]),
        (
            [
                {"role": "developer", "content": [{"type": "input_text", "text": "a"}]},
                {
                    "type": "message", "role": "user", "status": "completed", "id": "msg_1",
                    "content": [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}],
                },
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "d"}], "phase": None},
            ],
            [
                {"role": "developer", "content": "a"},
                {"role": "user", "content": "b\nc"},
                {"role": "assistant", "content": "d"},
            ],
        ),
        (
            [USER, CALL, OUTPUT],
            [USER, {"role": "assistant", "content": "", "tool_calls": [CALLED]}, RESULT],
        ),
        (
            [
                USER, {"type": "reasoning", "id": "rs_1", "summary": []}, ASSISTANT, CALL,
                {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x"},
                {**CALL, "id": "fc_2", "status": "completed"},
                {**OUTPUT, "output": [{"type": "input_text", "text": "sunny"}]}, OUTPUT, ASSISTANT, USER,
            ],
            [
                USER, {"role": "assistant", "content": "I look.", "tool_calls": [CALLED, CALLED]},
                RESULT, RESULT, {"role": "assistant", "content": "I look."}, USER,
            ],
        ),
        (
            [USER, ASSISTANT, CALL, ASSISTANT, OUTPUT],
            [
                USER, {"role": "assistant", "content": "I look.\nI look.", "tool_calls": [CALLED]}, RESULT,
            ],
        ),
        (
            [ASSISTANT, ASSISTANT, {**CALL, "arguments": ""}, OUTPUT],
            [
                {"role": "assistant", "content": "I look."},
                {
                    "role": "assistant", "content": "I look.",
                    "tool_calls": [{**CALLED, "function": {"name": "f", "arguments": "{}"}}],
                },
                RESULT,
            ],
        ),
    ],
)  # fmt: skip
def test_items_are_the_messages_that_templates_read(
    played: Played, client: openai.OpenAI, items: list[Any], messages: list[Any]
) -> None:
    ask(client, [*items, {"role": "user", "content": "x"}], instructions="Be brief.")
    told, _, _ = played.text.rendered[0]
    system = {"role": "system", "content": "Be brief."}
    assert told == [system, *messages, {"role": "user", "content": "x"}]


def test_an_answer_is_input_of_the_next_question(played: Played, client: openai.OpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": 'I call <f{"a": 1}>'}]
    answer = ask(client, items, tools=[FLAT])
    items += answer.output
    items.append({"type": "function_call_output", "call_id": answer.output[1].call_id, "output": "2"})
    assert ask(client, items, tools=[FLAT]).output_text == "2"
    _, called, result = played.text.rendered[1][0]
    assert (called["content"], called["tool_calls"][0]["function"]["name"]) == ("I call ", "f")
    assert result["tool_call_id"] == called["tool_calls"][0]["id"] == answer.output[1].call_id


def test_tools_are_called(played: Played) -> None:
    response = checked_response(raw(played, 'I call <f{"a": 1}>\n<g{}>', tools=[FLAT, OTHER]).json())
    message, *calls = response.output
    assert message.type == "message"
    assert [(one.name, one.arguments, one.status) for one in calls if one.type == "function_call"] == [
        ("f", '{"a": 1}', "completed"), ("g", "{}", "completed"),
    ]  # fmt: skip
    assert len({one.id for one in calls}) == 2
    told = {"description": None, "parameters": None, "strict": None}
    assert raw(played, tools=[FLAT, OTHER]).json()["tools"] == [{**told, **FLAT}, {**told, **OTHER}]
    assert played.text.rendered[0][1] == [TOOL, {"type": "function", "function": {"name": "g"}}]
    once = raw(played, "<f{}><g{}>", tools=[FLAT, OTHER], parallel_tool_calls=False).json()
    assert [item["type"] for item in once["output"]] == ["function_call"]
    assert once["parallel_tool_calls"] is False
    none = raw(played, "<f{}>", tools=[FLAT], tool_choice="none").json()
    assert [item["type"] for item in none["output"]] == ["message"]
    assert (played.text.rendered[-1][1], none["tool_choice"]) == (None, "none")


def test_the_events_of_calls(played: Played) -> None:
    events = stream(played, 'I call <f{"a": 1}>\n<g{}>', tools=[FLAT, OTHER])
    call = [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
    ]  # fmt: skip
    assert kinds(events)[kinds(events).index("content_part.done") :] == [
        "content_part.done", "output_item.done", *call, *call, "completed",
    ]  # fmt: skip
    assert [event["output_index"] for event in events if "output_index" in event][-10:] == [1] * 5 + [2] * 5
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [(item["status"], item.get("arguments", "")) for item in added] == [("in_progress", "")] * 3
    assert [item["id"] for item in added] == [item["id"] for item in done]
    assert events[-1]["response"]["output"] == done
    assert [item.get("arguments") for item in done] == [None, '{"a": 1}', "{}"]


@pytest.mark.parametrize(
    ("choice", "told", "forced"),
    [
        ("required", [FLAT, OTHER], ["f", "g"]),
        ({"type": "function", "name": "f"}, [FLAT, OTHER], ["f"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, [FLAT], []),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            [OTHER],
            ["g"],
        ),
    ],
)
def test_which_tool_is_called_may_be_said(played: Played, choice: Any, told: list[Any], forced: Any) -> None:
    answer = checked_response(raw(played, tools=[FLAT, OTHER], tool_choice=choice).json())
    rendered = [tool["function"]["name"] for tool in played.text.rendered[0][1]]
    assert rendered == [tool["name"] for tool in told]
    forms = [[tool["function"]["name"] for tool in form.value] for form in played.text.forms]
    assert forms == ([forced] if forced else [])
    said = answer.tool_choice
    assert (said if isinstance(said, str) else said.model_dump()) == choice


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ({"format": {"type": "json_object"}}, FormKind.JSON_OBJECT, None),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}},
            FormKind.JSON_SCHEMA,
            {"a": 1},
        ),
    ],
)
def test_a_form_guides_the_text(played: Played, text: Any, kind: FormKind, value: Any) -> None:
    answer = checked_response(raw(played, text=text).json())
    assert [(form.kind, form.value) for form in played.text.forms] == [(kind, value)]
    assert played.lane.begun[0].request.guide is not None
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.model_dump(by_alias=True).items() >= text["format"].items()
    raw(played, text={"format": {"type": "text"}})
    assert played.lane.begun[-1].request.guide is None


@pytest.mark.parametrize(
    ("fields", "others"),
    [
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
        ({"top_logprobs": 1}, 1),
    ],
)
def test_logprobs_whole_and_in_pieces(played: Played, fields: dict[str, Any], others: int) -> None:
    document = raw(played, "abc", **fields).json()
    (message,) = checked_response(document).output
    (part,) = message.content  # type: ignore[union-attr]
    assert [(one.token, one.logprob, len(one.top_logprobs)) for one in part.logprobs] == [
        (letter, -0.5, others) for letter in "abc"
    ]  # type: ignore[union-attr]  # fmt: skip
    assert document["top_logprobs"] == others
    events = stream(played, "abc", **fields)
    deltas = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    (text,) = [event for event in events if event["type"] == "response.output_text.done"]
    whole = document["output"][0]["content"][0]["logprobs"]
    assert [one for delta in deltas for one in delta] == text["logprobs"] == whole
    assert len(deltas[0]) == 2
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == whole


def test_an_answer_that_was_cut_is_incomplete(played: Played) -> None:
    played.lane.script = lambda generation: generation.say("so far", Finish.LENGTH)
    response = checked_response(raw(played, max_output_tokens=6).json())
    assert (response.status, response.output[0].status) == ("incomplete", "incomplete")  # type: ignore[union-attr]
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    *_, item, last = stream(played)
    assert (item["item"]["status"], last["type"]) == ("incomplete", "response.incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["usage"]["output_tokens"] == 6


def test_an_answer_of_nothing_is_an_empty_message(played: Played) -> None:
    played.lane.script = lambda generation: generation.say("", Finish.STOP)
    response = checked_response(raw(played).json())
    assert (len(response.output), response.output_text) == (1, "")
    assert [item["type"] for item in stream(played)[-1]["response"]["output"]] == ["message"]


def test_a_fault_of_the_model_before_and_within_a_stream(played: Played, client: openai.OpenAI) -> None:
    def fail(generation: PlayedGeneration) -> None:
        generation.say("so far")
        generation.say("", error=InferenceFailedError("the model failed"))

    played.lane.script = fail
    with pytest.raises(openai.InternalServerError, match="the model failed"):
        ask(client)
    with pytest.raises(openai.APIError, match="the model failed"):
        list(ask(client, stream=True))
    *_, error, failed = stream(played)
    assert (error["type"], error["message"], error["code"]) == ("error", "the model failed", None)
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "server_error", "message": "the model failed"}
    (item,) = failed["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "so far")
    played.lane.refusal, played.lane.room = OverloadedError("later", retry_after_seconds=3), 0
    with pytest.raises(openai.RateLimitError) as refused:  # nothing was begun: an error's status
        ask(client, stream=True)
    assert refused.value.response.headers["Retry-After"] == "3"


def test_what_was_not_stored_is_not_found(client: openai.OpenAI, played: Played) -> None:
    for prefix in ("/v1", "/openai/v1"):
        with played.client(prefix) as below:
            assert ask(below).output_text == HELLO
            for find in (below.responses.retrieve, below.responses.delete):
                with pytest.raises(openai.NotFoundError, match="'resp_1' does not exist: nothing is stored"):
                    find("resp_1")
