"""Chat, asked by the unmodified package `openai`."""

import json
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import openai
import pytest
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS, Played
from tests.unit.runtime.protocols.openai.played_model import PlayedGeneration
from tests.unit.runtime.transport.http2.raw_client import RawClient, reset
from tests.unit.runtime.transport.rest.requests import HELLO as HELLO_HTTP_2
from tests.unit.runtime.transport.rest.requests import post

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError, OverloadedError
from modelservice_runtime.generation.values import Finish, FormKind, Sampling, TextForm
from modelservice_runtime.protocols.openai.answering import prompts
from modelservice_runtime.protocols.openai.answering.prompt_threads import PromptThreads

HELLO: list[Any] = [{"role": "user", "content": "Grüße, 世界 👋"}]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def ask(client: openai.OpenAI, messages: list[Any] = HELLO, **fields: Any) -> Any:
    return client.chat.completions.create(model="chat", messages=messages, **fields)


def raw_stream(played: Played, **fields: Any) -> list[str]:
    """The events' data as they came, and that nothing but events came."""
    body = {"model": "chat", "messages": HELLO, "stream": True, **fields}
    answer = played.server.request("POST", "/v1/chat/completions", body)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = answer.body.decode().split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event.removeprefix("data: ") for event in events]


def test_a_whole_answer(played: Played, client: openai.OpenAI) -> None:
    answer = ask(client)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Grüße, 世界 👋")
    assert (choice.finish_reason, choice.index, choice.logprobs) == ("stop", 0, None)
    assert (answer.object, answer.model) == ("chat.completion", "chat")
    assert answer.id.startswith("chatcmpl-")
    assert abs(answer.created - time.time()) < PATIENCE_SECONDS
    size = len("Grüße, 世界 👋")
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": size, "completion_tokens": size, "total_tokens": 2 * size,
        "prompt_tokens_details": {"cached_tokens": 2},
    }  # fmt: skip


def test_times_are_told_from_when_the_request_came_before_its_prompt_was_made(
    played: Played, client: openai.OpenAI
) -> None:
    asked_at = time.perf_counter()
    ask(client)
    (came_at,) = played.lane.came_at
    assert came_at is not None
    assert asked_at < came_at < played.text.read_at


def test_a_streamed_answer(played: Played, client: openai.OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße, 世界 👋"
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "chat.completion.chunk"


def test_the_frames_of_a_stream(played: Played) -> None:
    *events, last = raw_stream(played, stream_options={"include_usage": True})
    assert last == "[DONE]"
    chunks = [json.loads(event) for event in events]
    *told, usage = chunks
    assert [chunk["choices"][0]["delta"] for chunk in told] == [
        {"role": "assistant", "content": ""}, {"content": "Gr"}, {"content": "üße, 世界 👋"}, {},
    ]  # fmt: skip
    assert [chunk["choices"][0]["finish_reason"] for chunk in told] == [None, None, None, "stop"]
    assert [chunk["usage"] for chunk in told] == [None] * 4
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 11
    assert "usage" not in json.loads(raw_stream(played)[0])


def test_several_answers_to_one_prompt(played: Played, client: openai.OpenAI) -> None:
    answer = ask(client, n=3, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.prompt_tokens == 11
    assert answer.usage.completion_tokens == 33
    assert [one.request.sampling.seed for one in played.lane.begun] == [7, 8, 9]
    texts = ["", "", ""]
    for chunk in ask(client, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["Grüße, 世界 👋"] * 3


def test_what_a_request_leaves_open_is_as_the_makers_of_the_model_advise(
    played: Played, client: openai.OpenAI
) -> None:
    advised = Sampling(temperature=0.25, top_p=0.5, top_k=20, repetition_penalty=1.5)
    model = replace(played.model, sampling=advised)
    played.call(lambda: played.server.table.publish_generative(model))
    ask(client)
    ask(client, temperature=0, top_p=1, extra_body={"top_k": -1}, logprobs=True)
    left_open, said = (one.request.sampling for one in played.lane.begun)
    assert left_open == advised
    assert said == Sampling(temperature=0, top_p=1, top_k=0, repetition_penalty=1.5, logprobs=0)


def test_every_field_of_sampling_reaches_the_lane(played: Played, client: openai.OpenAI) -> None:
    ask(
        client, temperature=0.25, top_p=0.5, presence_penalty=-1, frequency_penalty=2, seed=-3,
        stop=["a", "b"], logit_bias={"5": -100}, max_tokens=3, max_completion_tokens=7, user="u", store=True,
        metadata={"a": "b"}, service_tier="auto", reasoning_effort="low", verbosity="low",
        prompt_cache_key="k", safety_identifier="s", prediction={"type": "content", "content": "x"},
        extra_body={
            "top_k": 4, "min_p": 0.125, "repetition_penalty": 1.5, "min_tokens": 2, "ignore_eos": True,
            "stop_token_ids": [9, 8], "include_stop_str_in_output": True, "priority": -2,
            "cache_salt": "salt",
            "chat_template_kwargs": {"enable_thinking": False}, "unheard_of": [1],
        },
    )  # fmt: skip
    (one,) = [begun.request for begun in played.lane.begun]
    sampling = one.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.25, 0.5, 4, 0.125)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (-1, 2)
    assert (sampling.repetition_penalty, sampling.logit_bias, sampling.seed) == (1.5, {5: -100.0}, -3)
    assert (one.max_tokens, one.min_tokens, one.ignore_eos, one.include_stop) == (7, 2, True, True)
    assert (one.stop, one.stop_ids, one.priority) == (("a", "b"), {8, 9}, -2)
    assert (one.owner, one.cache_salt, one.adapter) == ("", "salt", None)
    assert played.text.rendered[0][2] == {
        "enable_thinking": False, "add_generation_prompt": True, "continue_final_message": False,
    }  # fmt: skip


def test_nothing_asked_for_leaves_the_rest_of_the_context(played: Played, client: openai.OpenAI) -> None:
    ask(client)
    ask(client, [{"role": "user", "content": "x" * 900}])
    first, second = [begun.request for begun in played.lane.begun]
    assert (first.max_tokens, second.max_tokens) == (500, 100)
    assert (first.sampling.temperature, first.sampling.seed, first.sampling.logprobs) == (1.0, None, None)


def test_messages_of_every_role_reach_the_template(played: Played, client: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ask(
        client,
        [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user", "name": "Eva",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "assistant", "content": None, "refusal": "No."},
            {"role": "user", "content": "so?"},
        ],
    )  # fmt: skip
    assert played.text.rendered[0][0] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "a\nb", "name": "Eva"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "so?"},
    ]


def test_the_last_message_is_continued(played: Played, client: openai.OpenAI) -> None:
    ask(client, [*HELLO, {"role": "assistant", "content": "Ha"}], extra_body={"continue_final_message": True})
    assert played.text.rendered[0][2] == {"add_generation_prompt": False, "continue_final_message": True}


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}


def test_tools_are_called(played: Played, client: openai.OpenAI) -> None:
    call = [{"role": "user", "content": 'I call <f{"a": 1}><f{}>'}]
    (choice,) = ask(client, call, tools=[TOOL]).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I call "
    calls = choice.message.tool_calls
    assert [(one.type, one.function.name, one.function.arguments) for one in calls] == [
        ("function", "f", '{"a": 1}'), ("function", "f", "{}"),
    ]  # fmt: skip
    assert len({one.id for one in calls}) == 2
    assert played.text.rendered[0][1] == [TOOL]
    (choice,) = ask(client, call, tools=[TOOL], tool_choice="none").choices
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert played.text.rendered[-1][1] is None


def test_an_answer_that_may_have_one_call_ends_behind_it(played: Played, client: openai.OpenAI) -> None:
    def say(generation: PlayedGeneration) -> None:
        for piece in ("I call <f{", "}>", "<f{}>", " and so on"):
            generation.say(piece)
        generation.say("", Finish.STOP)

    played.lane.script = say
    (choice,) = ask(client, tools=[TOOL], parallel_tool_calls=False).choices
    assert (choice.message.content, choice.finish_reason) == ("I call ", "tool_calls")
    assert [one.function.arguments for one in choice.message.tool_calls] == ["{}"]
    chunks = list(ask(client, tools=[TOOL], parallel_tool_calls=False, stream=True))
    told = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert {call.index for call in told} == {0}
    assert "".join(call.function.arguments for call in told) == "{}"
    assert all(begun.heard[:1] == ["finish"] for begun in played.lane.begun)
    ask(client, tools=[TOOL])
    assert "finish" not in played.lane.begun[-1].heard


@pytest.mark.parametrize("last", ["", "<f{}> and so"])
def test_an_answer_with_its_one_call_is_whole_whatever_ends_it(
    played: Played, client: openai.OpenAI, last: str
) -> None:
    """Its tokens may come to an end before the text is told to end."""

    def say(generation: PlayedGeneration) -> None:
        generation.say("<f{}>")
        generation.say(last, Finish.LENGTH)

    played.lane.script = say
    assert ask(client, tools=[TOOL], parallel_tool_calls=False).choices[0].finish_reason == "tool_calls"
    *_, told = ask(client, tools=[TOOL], parallel_tool_calls=False, stream=True)
    assert told.choices[0].finish_reason == "tool_calls"
    assert ask(client, tools=[TOOL]).choices[0].finish_reason == "length"


@pytest.mark.parametrize("wanted", ["required", {"type": "function", "function": {"name": "f"}}])
def test_one_call_that_is_required_is_kept_in_form(
    played: Played, client: openai.OpenAI, wanted: Any
) -> None:
    for parallel, kind in ((False, FormKind.TOOL_CALL), (True, FormKind.TOOL_CALLS)):
        ask(client, tools=[TOOL], tool_choice=wanted, parallel_tool_calls=parallel)
        assert played.text.forms[-1] == TextForm(kind, [TOOL])


def test_tools_are_called_piece_by_piece(played: Played, client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="chat", messages=[{"role": "user", "content": '<f{"a": 1}>'}], tools=[TOOL]
    ) as stream:
        for _ in stream:
            continue
        (choice,) = stream.get_final_completion().choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.arguments == '{"a": 1}'


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_tool_that_must_be_called_guides_the_text(
    played: Played, client: openai.OpenAI, choice: Any
) -> None:
    played.text.knows_calls = False
    ask(client, tools=[TOOL], tool_choice=choice)
    assert [(form.kind, form.value) for form in played.text.forms] == [(FormKind.TOOL_CALLS, [TOOL])]
    with pytest.raises(openai.BadRequestError, match="it knows no calls"):
        ask(client, tools=[TOOL])


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_those_that_the_model_is_told_of(
    played: Played, client: openai.OpenAI, mode: str
) -> None:
    other = {"type": "function", "function": {"name": "g"}}
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "f"}}]}
    ask(client, tools=[other, TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert played.text.rendered[0][1] == [TOOL]
    assert [form.value for form in played.text.forms] == ([[TOOL]] if mode == "required" else [])


@pytest.mark.parametrize(
    ("fields", "kind", "value"),
    [
        ({"response_format": {"type": "json_object"}}, FormKind.JSON_OBJECT, None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}}},
            FormKind.JSON_SCHEMA,
            {"a": 1},
        ),
        ({"structured_outputs": {"regex": "a+"}}, FormKind.REGEX, "a+"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, FormKind.CHOICE, ["a", "b"]),
        ({"guided_json": {"type": "object"}}, FormKind.JSON_SCHEMA, {"type": "object"}),
    ],
)
def test_a_form_guides_the_text(
    played: Played, client: openai.OpenAI, fields: dict[str, Any], kind: FormKind, value: Any
) -> None:
    ask(client, n=2, extra_body=fields)
    assert [(form.kind, form.value) for form in played.text.forms] == [(kind, value)]
    one, other = [begun.request.guide for begun in played.lane.begun]
    assert one is not None
    assert one is not other
    ask(client, response_format={"type": "text"})
    assert played.lane.begun[-1].request.guide is None


def test_logprobs_whole_and_in_pieces(played: Played, client: openai.OpenAI) -> None:
    (choice,) = ask(client, logprobs=True, top_logprobs=2).choices
    first = choice.logprobs.content[3]
    assert (first.token, first.logprob, first.bytes) == ("ß", -0.5, [0xC3, 0x9F])
    assert [(other.token, other.logprob) for other in first.top_logprobs] == [("x", -2.0), ("y", -2.0)]
    told = [
        entry.token
        for chunk in ask(client, logprobs=True, stream=True)
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content
    ]
    assert "".join(told) == "Grüße, 世界 👋"


def test_logprobs_are_written_as_they_come_and_not_all_at_the_end(
    played: Played, client: openai.OpenAI
) -> None:
    decoded = []

    def say(generation: PlayedGeneration) -> None:
        generation.say("abc")
        decoded.append(played.text.decoded)
        generation.say("", Finish.STOP)
        decoded.append(played.text.decoded)

    played.lane.script = say
    ask(client, logprobs=True, top_logprobs=2)
    assert decoded == [9, 9]


def test_fields_that_ask_for_nothing_are_none(played: Played, client: openai.OpenAI) -> None:
    """As clients made of vLLM's own defaults send them."""
    nothing = {"bad_words": [], "stop": [], "logits_processors": [], "use_beam_search": False}
    ask(client, extra_body={**nothing, "allowed_token_ids": None})
    assert len(played.lane.begun) == 1


TEXT_PART = {"type": "text", "text": "a"}
CALL = {"function": {"name": "f"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"presence_penalty": -2.1}, "presence_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"repetition_penalty": 1e-45}, "repetition_penalty"),  # by which no number can be divided
    ({"n": 9}, "n"),
    ({"n": 0}, "n"),
    ({"best_of": 2}, "best_of"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 501}, "max_tokens"),
    ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    ({"max_completion_tokens": 501}, "max_completion_tokens"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
    ({"seed": "1"}, "seed"),
    ({"seed": 1 << 63}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": ["a" * 257]}, "stop"),
    ({"stop": 1}, "stop"),
    ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ({"logit_bias": {"a": 1}}, "logit_bias"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": []}, "stream_options"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"role": "king", "content": ""}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [TEXT_PART] * 1000}] * 5}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL] * 100}] * 42}, "messages"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
    ),
    ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ({"model": 1}, "model"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [TOOL, TOOL]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
     "tool_choice.allowed_tools.tools"),
    ({"tools": [TOOL], "tool_choice": "required", "response_format": {"type": "json_object"}}, "tool_choice"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
    ),
    ({"structured_outputs": {"grammar": "x"}}, "structured_outputs.grammar"),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"chat_template": "{{ 1 }}"}, "chat_template"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
    ({"functions": []}, "functions"),
    ({"bad_words": ["a"]}, "bad_words"),
    ({"allowed_token_ids": []}, "allowed_token_ids"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"echo": True}, "echo"),
    ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
    ({"use_beam_search": True}, "use_beam_search"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=[f"{i}-{one[1]}" for i, one in enumerate(REFUSED)])
def test_what_cannot_be_done_is_refused_by_name(played: Played, fields: dict[str, Any], param: str) -> None:
    body = {"model": "chat", "messages": HELLO, **fields}
    answer = played.server.request("POST", "/v1/chat/completions", body)
    assert answer.status == 400, answer.body
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param.rpartition(".")[2].partition("[")[0] in error["message"]
    assert played.lane.begun == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"messages": [{"role": "user"}]}, "'messages[0].content' is missing; it must be a string"),
        ({"model": None}, "'model' is missing; GET /v1/models lists those that there are"),
        ({"tools": [{"name": "a"}]}, "'tools[0].type' is missing; it must be 'function'"),
        ({"temperature": True}, "'temperature' is true; it must be a number"),
        ({"stop": {}}, "'stop' is an empty object; it must be"),
        ({"messages": {"role": "user"}}, "'messages' is an object; it must be a list"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_json(
    played: Played, fields: dict[str, Any], sentence: str
) -> None:
    answer = played.server.request(
        "POST", "/v1/chat/completions", {"model": "chat", "messages": HELLO, **fields}
    )
    assert (answer.status, answer.json()["error"]["message"][: len(sentence)]) == (400, sentence)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"a":' * 2000])
def test_a_body_that_is_no_object_is_refused(played: Played, body: bytes) -> None:
    answer = played.server.request("POST", "/v1/chat/completions", body)
    assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_a_text_far_too_long_is_not_read_to_its_end(played: Played, client: openai.OpenAI, kind: str) -> None:
    """The model takes 1000 tokens."""

    def send(text: str) -> None:
        if kind == "chat":
            ask(client, [{"role": "user", "content": text}])
        else:
            client.completions.create(model="chat", prompt=text)

    with pytest.raises(openai.BadRequestError, match="16000 characters of 120000 have 16000 tokens") as long:
        send("x" * 120_000)
    assert long.value.code == "context_length_exceeded"
    assert played.text.characters_read == 16_000
    played.text.token_length = 100  # the same characters as few tokens fit
    send("x" * 80_000)
    assert len(played.lane.begun) == 1
    played.text.token_length = 10  # fewer than twice as many as fit may still fit: the end decides
    with pytest.raises(openai.BadRequestError, match=r"200[01] tokens"):
        send("x" * 20_000)


def test_errors_are_those_that_the_client_knows(played: Played, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="x", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match=r"takes tensors.*genai_config\.json") as tensors:
        client.chat.completions.create(model="mlp", messages=HELLO)
    assert tensors.value.param == "model"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, [{"role": "user", "content": "x" * 1001}])
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as longer:
        ask(client, [{"role": "user", "content": "x" * 200_000}])
    assert longer.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as answer:
        ask(client, [{"role": "user", "content": "x" * 600}], max_tokens=401)
    assert answer.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="template refuses"):
        ask(client, extra_body={"chat_template_kwargs": {"fail": True}})
    assert played.lane.begun == []


def test_too_many_prompts_are_told_when_to_come_back(played: Played, client: openai.OpenAI) -> None:
    played.lane.refusal = OverloadedError("too many prompts wait", 7)
    played.lane.room = 1
    for streamed in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            ask(client, n=2, stream=streamed)
        assert refused.value.response.headers["retry-after"] == "7"
        assert refused.value.code == "rate_limit_exceeded"
    assert not played.lane.begun  # not one of the two


def test_what_only_the_model_can_refuse_names_the_field(played: Played, client: openai.OpenAI) -> None:
    played.lane.refusal = InvalidRequestError("logit_bias names token 9", "a_code", "logit_bias")
    played.lane.room = 0
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client)
    assert (refused.value.param, refused.value.code) == ("logit_bias", "a_code")


def test_prompts_that_wait_are_bounded_by_who_asks(
    played: Played, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, begun, may_end = PromptThreads(2, 100_000), threading.Event(), threading.Event()
    monkeypatch.setattr(prompts, "_threads", threads)

    def work() -> None:
        begun.set()
        assert may_end.wait(PATIENCE_SECONDS)

    try:
        threads.submit("", 1, work)  # nobody in particular, as who asks here
        assert begun.wait(PATIENCE_SECONDS)
        waiting = threads.submit("", 50_000, work)
        for streamed in (False, True):
            with pytest.raises(openai.RateLimitError, match="1 requests of yours wait") as refused:
                ask(client, stream=streamed)
            assert int(refused.value.response.headers["retry-after"]) >= 1
        assert played.text.rendered == []
    finally:
        may_end.set()
    waiting.result(PATIENCE_SECONDS)
    assert ask(client).choices[0].message.content == "Grüße, 世界 👋"


def test_a_fault_of_the_model_before_and_within_a_stream(played: Played, client: openai.OpenAI) -> None:
    def fail(generation: PlayedGeneration) -> None:
        generation.say("so far")
        generation.say("", error=InferenceFailedError("the model failed"))

    played.lane.script = fail
    with pytest.raises(openai.InternalServerError, match="the model failed"):
        ask(client)
    told: list[str] = []
    with pytest.raises(openai.APIError, match="the model failed"):
        told += [chunk.choices[0].delta.content for chunk in ask(client, stream=True)]
    *_, error, last = raw_stream(played)
    assert json.loads(error)["error"]["type"] == "server_error"
    assert last == "[DONE]"


def test_a_reset_stream_of_http_2_frees_its_row_alone(played: Played) -> None:
    played.lane.script = None
    client = RawClient(played.server.connect(), HELLO_HTTP_2)
    body = json.dumps({"model": "chat", "messages": HELLO, "stream": True}).encode()
    client.send(post(1, "/v1/chat/completions", body))
    wait_until(lambda: len(played.lane.begun) == 1)
    client.send(post(3, "/v1/chat/completions", body))
    wait_until(lambda: len(played.lane.begun) == 2)
    client.send(reset(1))
    left, other = played.lane.begun
    wait_until(lambda: left.is_cancelled)
    played.call(lambda: other.say("hello", finish=Finish.STOP))
    assert b'"hello"' in client.answer(3)[1]
    assert not other.is_cancelled
    client.socket.close()


@pytest.mark.parametrize("streamed", [False, True])
def test_who_leaves_frees_the_row(played: Played, streamed: bool) -> None:
    played.lane.script = None
    body = json.dumps({"model": "chat", "messages": HELLO, "stream": streamed, "n": 2}).encode()
    connection = played.server.connect()
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    wait_until(lambda: len(played.lane.begun) == 2)
    played.call(lambda: played.lane.begun[0].say("x"))
    connection.close()
    wait_until(lambda: all(begun.is_cancelled for begun in played.lane.begun))
    played.call(lambda: played.lane.begun[0].say("y"))  # on its way when the client left


def test_a_slow_reader_pauses_its_own_row(played: Played, client: openai.OpenAI) -> None:
    played.lane.script = None
    body = json.dumps({"model": "chat", "messages": HELLO, "stream": True}).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect(("127.0.0.1", played.server.port))
    with connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        wait_until(lambda: len(played.lane.begun) == 1)
        slow = played.lane.begun[0]
        while not slow.heard:
            played.call(lambda: slow.say("z" * 1_000_000))
        assert slow.heard[0] == "pause"
        played.lane.script = lambda generation: generation.say("fine", Finish.STOP)
        assert ask(client).choices[0].message.content == "fine"
        received = b""
        while "resume" not in slow.heard:
            received += connection.recv(65536)
        played.call(lambda: slow.say("", Finish.LENGTH))
        while not received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            part = connection.recv(65536)
            assert part
            received += part


def test_a_deadline_ends_what_takes_longer(played: Played, client: openai.OpenAI) -> None:
    played.lane.script = None
    with pytest.raises(openai.InternalServerError) as late:
        ask(client, extra_headers={"X-Request-Timeout": "0.05"})
    assert late.value.status_code == 504
    assert played.lane.begun == [] or played.lane.begun[0].is_cancelled


def test_an_adapter_is_addressed_as_a_model(played: Played, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="polite", messages=HELLO)
    assert answer.model == "polite"
    assert played.lane.begun[0].request.adapter == "polite"


def test_the_same_below_openai(played: Played) -> None:
    with played.client("/openai/v1") as client:
        assert ask(client).choices[0].message.content == "Grüße, 世界 👋"
        assert [model.id for model in client.models.list()] == ["chat", "polite"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("mlp")


def test_models_are_listed_and_those_of_tensors_keep_their_answers(
    played: Played, client: openai.OpenAI
) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "polite"]
    found = client.models.retrieve("chat")
    assert (found.id, found.object, found.created) == ("chat", "model", 1_700_000_000)
    names = played.server.request("GET", "/v1/models").json()["models"]
    assert names == ["mlp", "chat", "polite"]
    status = played.server.request("GET", "/v1/models/mlp").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    with pytest.raises(openai.NotFoundError, match="'unknown' does not exist") as told:
        client.models.retrieve("unknown")
    assert told.value.code == "model_not_found"
    assert played.server.request("POST", "/v1/models/chat", {}).status == 405
    assert played.server.request("GET", "/v1/chat/completions").status == 405
    with pytest.raises(openai.NotFoundError, match=r"no such path.*metrics port"):
        client.moderations.create(input="x")
