"""Items and their events agree however a text comes, and no body is more than refused."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.protocols.openai.response_types import checked_event

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.values import ToolPiece
from modelservice_runtime.protocols.openai.answering.response_items import OutputItems
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.asking.responses import read_response

texts = st.text(alphabet="ab \n", max_size=4)
calls = st.lists(st.text(alphabet="{}1", min_size=1, max_size=3), max_size=3)


@st.composite
def pieces(draw: st.DrawFn) -> list[str | ToolPiece]:
    """What readers tell: texts, and calls with a name first."""
    told: list[str | ToolPiece] = []
    for index, arguments in enumerate(draw(st.lists(calls, max_size=3))):
        told += [text for text in draw(st.lists(texts, max_size=3)) if text]
        told.append(ToolPiece(index, f"f{index}"))
        told += [ToolPiece(index, None, piece) for piece in arguments]
    return told + [text for text in draw(st.lists(texts, max_size=3)) if text]


def contents(items: list[dict[str, Any]]) -> list[Any]:
    """What items say without their names."""
    return [
        item["content"] if item["type"] == "message" else (item["name"], item["arguments"]) for item in items
    ]


@settings(max_examples=60)
@given(pieces(), st.data(), st.sampled_from(["completed", "incomplete"]))
def test_events_put_together_are_the_items_whatever_comes_at_once(
    told: list[str | ToolPiece], data: st.DataObject, status: str
) -> None:
    streamed, whole = OutputItems(), OutputItems()
    events: list[dict[str, Any]] = []
    left = list(told)
    while left:
        size = data.draw(st.integers(1, len(left)))
        events += streamed.feed(left[:size], [])
        left = left[size:]
    events += streamed.end(status)
    list(whole.feed(told, []))
    list(whole.end(status))
    items = streamed.documents("incomplete")
    assert contents(items) == contents(whole.documents("incomplete"))
    assert items == put_together(events)
    assert [item["status"] for item in items] == ["completed"] * (len(items) - 1) + [status]
    called = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
    assert called == calls_in(told)
    assert len([item for item in items if item["type"] == "message" and _text(item).isspace()]) <= (
        len(items) == 1
    )


def calls_in(told: list[str | ToolPiece]) -> list[tuple[str, str]]:
    """Names and arguments of the calls."""
    found: dict[int, tuple[str, str]] = {}
    for piece in told:
        if isinstance(piece, ToolPiece):
            name, arguments = found.get(piece.index, (piece.name or "", ""))
            found[piece.index] = (name, arguments + piece.arguments)
    return list(found.values())


def put_together(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client makes of events; that each is of the item that was begun last, and of a kind known."""
    items: list[dict[str, Any]] = []
    done: list[dict[str, Any]] = []
    for number, event in enumerate(events):
        checked_event({**event, "sequence_number": number})
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert len(items) == len(done)
            items.append(orjson.loads(orjson.dumps(event["item"])))
        item = items[-1]
        assert event["output_index"] == len(items) - 1
        assert event.get("item_id", item["id"]) == item["id"]
        match kind:
            case "content_part.added":
                item["content"].append(dict(event["part"]))
            case "output_text.delta":
                item["content"][0]["text"] += event["delta"]
            case "function_call_arguments.delta":
                item["arguments"] += event["delta"]
            case "output_text.done":
                assert event["text"] == _text(item)
            case "content_part.done":
                assert event["part"] == item["content"][0]
            case "function_call_arguments.done":
                assert event["arguments"] == item["arguments"]
            case "output_item.done":
                assert event["item"] == {**item, "status": event["item"]["status"]}
                done.append(event["item"])
    return done


def _text(item: dict[str, Any]) -> str:
    return str(item["content"][0]["text"])


FIELDS = (
    "input", "instructions", "include", "metadata", "reasoning", "text", "tools", "tool_choice", "truncation",
    "top_logprobs", "max_output_tokens", "parallel_tool_calls", "user", "store", "background", "conversation",
)  # fmt: skip
WORDS = (
    "type", "role", "content", "text", "name", "function", "parameters", "arguments", "output", "call_id",
    "format", "schema", "mode", "tools", "allowed_tools", "summary", "effort", "id",
)  # fmt: skip
VALUES = (
    "message", "user", "assistant", "function", "function_call", "function_call_output", "input_text", "f",
    "json_schema", "auto", "required", "allowed_tools", "reasoning", "{}", "",
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
def test_a_body_of_anything_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        asked = read_response(Fields({"model": "m", "input": "x", **body}))
    except InvalidRequestError:
        return
    assert asked.chat.messages
    repeated = orjson.loads(orjson.dumps(dict(asked.repeated)))
    assert repeated["store"] is False


def test_what_is_deep_is_repeated_or_refused() -> None:
    """JSON may be read deeper than it is written."""

    def repeat(levels: int) -> tuple[Any, Any]:
        parameters: Any = {}
        for _ in range(levels):
            parameters = {"a": parameters}
        tools = [{"type": "function", "name": "f", "parameters": parameters}]
        return parameters, read_response(Fields({"model": "m", "input": "x", "tools": tools})).repeated

    parameters, repeated = repeat(200)
    assert orjson.loads(orjson.dumps(repeated["tools"]))[0]["parameters"] == parameters
    with pytest.raises(InvalidRequestError, match="'tools'"):
        repeat(900)
