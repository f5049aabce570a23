"""What bodies of responses are refused for, each by the name of its field."""

from typing import Any

import pytest
from tests.unit.runtime.protocols.openai.conftest import Played

HELLO = "Grüße, 世界 👋"
FLAT: dict[str, Any] = {"type": "function", "name": "f"}
TOOL = {"type": "function", "function": {"name": "f"}}
USER = {"role": "user", "content": "weather?"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"a": schema}
    return schema


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 1}, "input"),
    ({"input": {}}, "input"),
    ({"input": ""}, "input"),
    ({"input": "x" * 1001}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{"type": "reasoning"}]}, "input"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": {}}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": {}}]}]}, "input[0].content[0].type"),
    ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "input[1].type"),
    ({"input": [{"id": "msg_1"}]}, "input[0].type"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"type": "web_search_call", "id": "w"}]}, "input[0].type"),
    ({"input": [{"type": []}]}, "input[0].type"),
    ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
    ({"input": [{**CALL, "name": ""}]}, "input[0].name"),
    ({"input": [{**CALL, "arguments": "{"}]}, "input[0].arguments"),
    ({"input": [{**CALL, "arguments": "[]"}]}, "input[0].arguments"),
    ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{**OUTPUT, "output": None}]}, "input[0].output"),
    ({"input": [{**OUTPUT, "output": [{"type": "input_image"}]}]}, "input[0].output[0].type"),
    ({"input": [USER] * 4097}, "input"),
    ({"input": [{**OUTPUT, "output": [{"type": "input_text", "text": "a"}] * 1000}] * 5}, "input"),
    ({"instructions": 1}, "instructions"),
    ({"instructions": []}, "instructions"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"background": True}, "background"),
    ({"moderation": {"model": "m"}}, "moderation"),
    ({"messages": []}, "messages"),
    ({"max_tokens": 1}, "max_tokens"),
    ({"response_format": {"type": "text"}}, "response_format"),
    ({"logprobs": True}, "logprobs"),
    ({"n": 2}, "n"),
    ({"chat_template": "x"}, "chat_template"),
    ({"store": "yes"}, "store"),
    ({"include": ["web_search_call.results"]}, "include[0]"),
    ({"include": [[]]}, "include[0]"),
    ({"include": "message.output_text.logprobs"}, "include"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 501}, "max_output_tokens"),
    ({"max_tool_calls": "1"}, "max_tool_calls"),
    ({"temperature": 2.5}, "temperature"),
    ({"truncation": "some"}, "truncation"),
    ({"truncation": []}, "truncation"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a" * 65: "b"}}, "metadata"),
    ({"metadata": {"a": "b" * 513}}, "metadata"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ({"user": {}}, "user"),
    ({"user": "u" * 513}, "user"),
    ({"reasoning": "low"}, "reasoning"),
    ({"reasoning": {"effort": 1}}, "reasoning.effort"),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
    ({"text": "json"}, "text"),
    ({"text": {"verbosity": "loud"}}, "text.verbosity"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "name": 1, "schema": {}}}}, "text.format.name"),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": deep(400)}}}, "text"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "custom", "name": "c"}]}, "tools[0].type"),
    ({"tools": [TOOL]}, "tools[0].name"),
    ({"tools": [FLAT, FLAT]}, "tools"),
    ({"tools": [{**FLAT, "strict": 1}]}, "tools[0].strict"),
    ({"tools": [{**FLAT, "parameters": deep(400)}]}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [FLAT], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
    ({"tools": [FLAT], "tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
    ({"tools": [FLAT], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools"),
    (
        {"tools": [FLAT], "tool_choice": "required", "text": {"format": {"type": "json_object"}}},
        "tool_choice",
    ),
    ({"stream": "yes"}, "stream"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=[f"{i}-{one[1]}" for i, one in enumerate(REFUSED)])
def test_what_cannot_be_done_is_refused_by_name(played: Played, fields: dict[str, Any], param: str) -> None:
    answer = played.server.request("POST", "/v1/responses", {"model": "chat", "input": HELLO, **fields})
    assert answer.status == 400, answer.body
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param.rpartition(".")[2].partition("[")[0] in error["message"]
    assert played.lane.begun == []
