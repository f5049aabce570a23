"""Completions, asked by the unmodified package `openai`."""

import ctypes
from collections.abc import Callable
from typing import Any

import openai
import orjson
import pytest
from tests.unit.runtime.protocols.openai.conftest import Played
from tests.unit.runtime.protocols.openai.played_model import PlayedGeneration, PlayedText

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.values import Finish, FormKind, TokenEvent, TokenLogprob
from modelservice_runtime.protocols.openai.answering.documents import chat_logprob, completion_logprob
from modelservice_runtime.protocols.openai.asking.fields import parse_object


def ask(client: openai.OpenAI, prompt: Any = "Grüße", **fields: Any) -> Any:
    return client.completions.create(model="chat", prompt=prompt, **fields)


def test_a_whole_answer(played: Played, client: openai.OpenAI) -> None:
    answer = ask(client)
    assert (answer.object, answer.model, answer.id[:5]) == ("text_completion", "chat", "cmpl-")
    (choice,) = answer.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == ("Grüße", 0, "stop", None)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 5)
    assert played.lane.begun[0].request.prompt[0] == 0  # the tokenizer's own beginning


def test_a_streamed_answer_with_its_usage(played: Played, client: openai.OpenAI) -> None:
    *chunks, usage = ask(client, stream=True, stream_options={"include_usage": True})
    assert [(one.choices[0].text, one.choices[0].finish_reason) for one in chunks] == [
        ("Gr", None), ("üße", None), ("", "stop"),
    ]  # fmt: skip
    assert (usage.choices, usage.usage.total_tokens) == ([], 11)


def test_logprobs_of_prompts_are_bounded(played: Played, client: openai.OpenAI) -> None:
    prompts = [[65] * 900] * 64  # with 20 alternatives 1.2 million
    fields = {"echo": True, "logprobs": 20, "max_tokens": 1}
    played.lane.script = lambda generation: generation.say("", Finish.STOP)
    ask(client, prompts, n=3, **fields)
    with pytest.raises(openai.BadRequestError, match="4838400 logprobs") as raised:
        ask(client, prompts, n=4, **fields)
    assert raised.value.param == "logprobs"


@pytest.mark.parametrize(
    "write", [lambda one: chat_logprob(PlayedText(), one), lambda one: completion_logprob(PlayedText(), one)]
)
def test_logprobs_that_wait_take_the_memory_of_their_text(write: Callable[[TokenLogprob], object]) -> None:
    told = TokenLogprob(65, -1.0, tuple((97 + index, -2.0) for index in range(20)))
    before = _allocated_bytes()
    waiting = [write(told) for _ in range(1000)]
    grown = _allocated_bytes() - before

    assert grown < len(waiting) * 3000  # a chat's have 1.3 KB each


class _Allocated(ctypes.Structure):
    """`struct mallinfo2` of the C library."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
        "keepcost",
    ))  # fmt: skip


def _allocated_bytes() -> int:
    """What the C library has given out on this thread, whatever pages it has for that."""
    read = ctypes.CDLL(None).mallinfo2
    read.restype = _Allocated
    return int(read().uordblks)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ([71, 72], [(71, 72)]),
        (["a", "bc"], [(0, 97), (0, 98, 99)]),
        ([[71], [72, 73]], [(71,), (72, 73)]),
        (["a", [72]], [(0, 97), (72,)]),
    ],
)
def test_prompts_of_every_form(
    played: Played, client: openai.OpenAI, prompt: Any, prompts: list[tuple[int, ...]]
) -> None:
    answer = ask(client, prompt)
    assert [begun.request.prompt for begun in played.lane.begun] == prompts
    assert [choice.index for choice in answer.choices] == list(range(len(prompts)))
    assert answer.usage.prompt_tokens == sum(map(len, prompts))


def test_several_texts_of_several_prompts_keep_their_order(played: Played, client: openai.OpenAI) -> None:
    answer = ask(client, ["a", "b"], n=2, best_of=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "a"), (1, "a"), (2, "b"), (3, "b"),
    ]  # fmt: skip
    assert answer.usage.prompt_tokens == 4


def test_echo_says_the_prompt_first(played: Played, client: openai.OpenAI) -> None:
    assert ask(client, "Grüße", echo=True).choices[0].text == "GrüßeGrüße"
    assert ask(client, [65, 66], echo=True).choices[0].text == "ABAB"
    assert "".join(one.choices[0].text for one in ask(client, echo=True, stream=True)) == "GrüßeGrüße"


def test_logprobs_tell_where_each_token_begins(played: Played, client: openai.OpenAI) -> None:
    told = ask(client, logprobs=1).choices[0].logprobs
    assert (told.tokens, told.text_offset) == (list("Grüße"), [0, 1, 2, 3, 4])
    assert told.token_logprobs == [-0.5] * 5
    assert told.top_logprobs[0] == {"G": -0.5, "x": -2.0}
    pieces = [one.choices[0].logprobs for one in ask(client, logprobs=0, stream=True)]
    assert [offset for piece in pieces for offset in piece.text_offset] == [0, 1, 2, 3, 4]


def _score_and_say(generation: PlayedGeneration) -> None:
    prompt = generation.request.prompt
    generation.score(prompt[:2])
    generation.score(prompt[2:])
    if generation.request.max_tokens:
        generation.say("!")
    generation.say("", Finish.LENGTH)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echo_with_logprobs_scores_the_prompt(played: Played, client: openai.OpenAI, max_tokens: int) -> None:
    played.lane.script = _score_and_say
    answer = ask(client, "üd", echo=True, logprobs=1, max_tokens=max_tokens)
    (choice,), request = answer.choices, played.lane.begun[0].request
    end = "!" * max_tokens
    assert (request.scores_prompt, request.max_tokens) == (True, max_tokens)
    assert (choice.text, choice.finish_reason) == ("üd" + end, "length")
    assert choice.logprobs.tokens == ["\0", "ü", "d", *end]
    assert choice.logprobs.token_logprobs == [None, -100 / 252, -1.0, *[-0.5] * max_tokens]
    told = [None, {"ü": -100 / 252, " ": -0.1}, {"d": -1.0, " ": -0.1}]
    assert choice.logprobs.top_logprobs[:3] == told
    assert choice.logprobs.text_offset == [0, 1, 2, 3][: 3 + max_tokens]
    assert answer.usage.completion_tokens == max_tokens


def test_a_stream_tells_a_scored_prompt_at_once(played: Played, client: openai.OpenAI) -> None:
    played.lane.script = _score_and_say
    first, last = ask(client, ["üd"], echo=True, logprobs=0, max_tokens=1, stream=True)
    assert (first.choices[0].text, first.choices[0].logprobs.tokens) == ("üd!", ["\0", "ü", "d", "!"])
    assert first.choices[0].logprobs.text_offset == [0, 1, 2, 3]
    assert (last.choices[0].text, last.choices[0].finish_reason) == ("", "length")


def test_offsets_count_what_is_told_before_its_text(played: Played, client: openai.OpenAI) -> None:
    def hold_back(generation: PlayedGeneration) -> None:
        one = TokenLogprob(ord("a"), -0.5)
        generation.sink(TokenEvent("", (97,), (one,)))
        generation.sink(TokenEvent("aa", (97,), (one,)))
        generation.say("", Finish.LENGTH)

    played.lane.script = hold_back
    pieces = [one.choices[0].logprobs for one in ask(client, logprobs=0, stream=True)]
    assert [offset for piece in pieces for offset in piece.text_offset] == [0, 1]


def test_alternatives_that_look_alike_keep_the_most_probable(played: Played, client: openai.OpenAI) -> None:
    def say(generation: PlayedGeneration) -> None:
        one = TokenLogprob(ord("a"), -3.0, ((ord("b"), -0.5), (ord("a"), -1.0)))
        generation.sink(TokenEvent("a", (97,), (one,)))
        generation.say("", Finish.LENGTH)

    played.lane.script = say
    told = ask(client, logprobs=2).choices[0].logprobs
    assert told.top_logprobs[0] == {"a": -1.0, "b": -0.5}


def test_a_form_guides_the_text(played: Played, client: openai.OpenAI) -> None:
    ask(client, extra_body={"guided_choice": ["a"]})
    assert [form.kind for form in played.text.forms] == [FormKind.CHOICE]


def test_a_form_is_compiled_once_for_all_texts(played: Played, client: openai.OpenAI) -> None:
    """Compiling takes up to a second, and there may be 64 prompts with 8 texts each."""
    ask(client, ["ab", "cd", "ef"], n=2, extra_body={"guided_choice": ["a"]})
    assert len(played.text.forms) == 1
    assert len({begun.request.guide for begun in played.lane.begun}) == 6


@pytest.mark.parametrize("part", ["[]", "{}", '{"a":{}}'])
def test_bodies_of_very_many_parts_are_refused_before_they_are_parsed(part: str) -> None:
    body = f'{{"prompt":"a","x":[{",".join([part] * 66_000)}]}}'.encode()
    with pytest.raises(InvalidRequestError, match="lists, objects and fields; it may have 65536"):
        parse_object(body)


def test_texts_may_hold_any_number_of_brackets() -> None:
    text = '[{"a": "\\"}]' * 30_000
    assert parse_object(orjson.dumps({"prompt": text})) == {"prompt": text}


def test_the_end_for_want_of_tokens_is_told(played: Played, client: openai.OpenAI) -> None:
    played.lane.script = lambda generation: generation.say("a", Finish.LENGTH)
    assert ask(client, max_tokens=1).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [["a"]]}, "prompt[0]"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": [1] * 1001}, "prompt"),
        ({"suffix": "b"}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 3}, "best_of"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(played: Played, fields: dict[str, Any], param: str) -> None:
    body = {"model": "chat", "prompt": "a", **fields}
    answer = played.server.request("POST", "/v1/completions", body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
    assert played.lane.begun == []
