"""The input of `/v1/responses`: items, as the messages that chat templates read; pure.

What an assistant says and the calls that it makes are items of their own, and one message to templates.
"""

from typing import Any

import orjson

from modelservice_runtime.protocols.openai.asking.fields import Fields, as_object, shown
from modelservice_runtime.protocols.openai.asking.messages import read_list, read_text
from modelservice_runtime.protocols.openai.asking.tools import read_name
from modelservice_runtime.protocols.openai.errors import FieldError

_ROLES = ("user", "assistant", "system", "developer")


def read_input(fields: Fields) -> list[dict[str, Any]]:
    """`instructions` and `input` as messages. Raises FieldError."""
    instructions = fields.text("instructions")
    messages = [] if instructions is None else [{"role": "system", "content": instructions}]
    text = fields.any("input")
    if isinstance(text, str):
        return [*messages, {"role": "user", "content": text}]
    conversation = _Conversation(messages)
    for index, item in enumerate(read_list(fields, "input")):
        conversation.add(as_object(item, f"input[{index}]"))
    if not conversation.has_items:
        raise FieldError("'input' has no message; send at least one", "input")
    return conversation.messages


class _Conversation:
    """Messages, as items add to them."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        self.has_items = False

    def add(self, item: Fields) -> None:
        match _kind(item):
            case "reasoning":  # templates are given none of an earlier turn
                return
            case "message":
                self._add_message(item)
            case "function_call":
                self._add_call(item)
            case _:
                self._add_output(item)
        self.has_items = True

    def _add_message(self, item: Fields) -> None:
        role = item.any("role")
        if role not in _ROLES:
            raise item.fail("role", f"one of {', '.join(_ROLES)}")
        text = read_text(item, "content")
        if text is None:
            raise item.fail("content", "a string, or a list of text parts")
        if role == "assistant" and self._calls() is not None:
            begun = self.messages[-1]["content"]
            self.messages[-1]["content"] = f"{begun}\n{text}" if begun else text
        else:
            self.messages.append({"role": role, "content": text})

    def _add_call(self, item: Fields) -> None:
        call = {
            "id": _call_id(item),
            "type": "function",
            "function": {"name": read_name(item), "arguments": _arguments(item)},
        }
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": ""})
        self.messages[-1].setdefault("tool_calls", []).append(call)

    def _add_output(self, item: Fields) -> None:
        output = read_text(item, "output")
        if output is None:
            raise item.fail("output", "a string, or a list of text parts")
        self.messages.append({"role": "tool", "content": output, "tool_call_id": _call_id(item)})

    def _calls(self) -> list[Any] | None:
        """Those of the last message."""
        return self.messages[-1].get("tool_calls") if self.messages else None


def _kind(item: Fields) -> str:
    kind = item.any("type")
    if kind is None and item.has("role"):
        return "message"
    if kind in ("message", "function_call", "function_call_output", "reasoning"):
        return str(kind)
    name = item.name("type")
    if kind == "item_reference" or (kind is None and item.has("id")):
        raise FieldError(
            f"'{name}' is 'item_reference', but nothing is stored here; send the item itself, as clients do "
            "that are told 'store' false",
            name,
        )
    raise FieldError(
        f"'{name}' is {shown(kind)}; this server takes message, function_call, function_call_output and "
        "reasoning",
        name,
    )


def _call_id(item: Fields) -> str:
    call = item.text("call_id")
    if not call:
        raise item.fail("call_id", "the id of the call")
    return call


def _arguments(item: Fields) -> str:
    arguments = item.text("arguments") or "{}"
    try:
        is_object = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise item.fail("arguments", "a JSON object as a string")
    return arguments
