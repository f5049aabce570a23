"""A conversation as clients send it, as the plain dictionaries that chat templates read; pure."""

from typing import Any

from modelservice_runtime.protocols.openai.asking.fields import Fields, as_object
from modelservice_runtime.protocols.openai.asking.tools import MAX_NAME_LENGTH, read_name
from modelservice_runtime.protocols.openai.errors import FieldError

MAX_MESSAGES = 4096
_MAX_PARTS = 1024
# Parts and calls of all messages together.
_MAX_PARTS_IN_ALL = 4096
_MAX_TOOL_CALLS = 128
_ROLES = ("system", "developer", "user", "assistant", "tool")
_KINDS = {
    "image_url": "images",
    "input_image": "images",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "videos",
    "file": "files",
    "input_file": "files",
}
# Where entries have parts: of messages, and of items.
_LISTS = ("content", "tool_calls", "output")
_TEXTS = ("text", "input_text", "output_text", "refusal")


def read_messages(fields: Fields) -> list[dict[str, Any]]:
    """The messages. Raises FieldError."""
    messages = read_list(fields, "messages")
    return [_read_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def read_list(fields: Fields, field: str) -> list[Any]:
    """A conversation's entries, of bounded number, also in their parts. Raises FieldError."""
    fields.required(field)
    entries = fields.items(field, max_items=MAX_MESSAGES) or []
    if not entries:
        raise FieldError(f"'{field}' is empty; send at least one message", field)
    parts = sum(map(_count_parts, entries))
    if parts > _MAX_PARTS_IN_ALL:
        raise FieldError(
            f"'{field}' has {parts} parts and calls of tools; it may have {_MAX_PARTS_IN_ALL}", field
        )
    return entries


def _count_parts(message: object) -> int:
    listed = map(message.get, _LISTS) if isinstance(message, dict) else ()
    return sum(len(one) for one in listed if isinstance(one, list))


def _read_message(message: object, path: str) -> dict[str, Any]:
    fields = as_object(message, path)
    role = fields.any("role")
    if role not in _ROLES:
        raise fields.fail("role", f"one of {', '.join(_ROLES)}")
    if fields.has("audio"):
        raise FieldError(f"'{path}.audio' is not supported: the model reads text", f"{path}.audio")
    calls = _read_tool_calls(fields) if role == "assistant" else []
    content = read_text(fields, "content")
    if content is None and role == "assistant":
        content = fields.text("refusal")
    if content is None and not calls:
        raise fields.fail("content", "a string, or a list of text parts")
    read: dict[str, Any] = {"role": role, "content": content or ""}
    name = fields.text("name", max_length=MAX_NAME_LENGTH)
    if name is not None:
        read["name"] = name
    if calls:
        read["tool_calls"] = calls
    if role == "assistant" and fields.has("reasoning_content"):
        read["reasoning_content"] = fields.text("reasoning_content")
    if role == "tool":
        read["tool_call_id"] = fields.text("tool_call_id") or ""
    return read


def read_text(fields: Fields, field: str) -> str | None:
    """A text, or parts of one; None where it is absent. Raises FieldError."""
    content = fields.any(field)
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list) or len(content) > _MAX_PARTS:
        raise fields.fail(field, f"a string, or a list of up to {_MAX_PARTS} text parts")
    # As templates are written, and as vLLM does it.
    name = fields.name(field)
    return "\n".join([_read_part(part, f"{name}[{index}]") for index, part in enumerate(content)])


def _read_part(part: object, path: str) -> str:
    fields = as_object(part, path)
    kind = fields.any("type")
    if isinstance(kind, str) and kind in _KINDS:
        raise FieldError(
            f"'{path}.type' is '{kind}'; the model reads text and no {_KINDS[kind]}", f"{path}.type"
        )
    if kind not in _TEXTS:
        raise fields.fail("type", f"one of {', '.join(_TEXTS)}")
    text = fields.text("refusal" if kind == "refusal" else "text")
    if text is None:
        raise fields.fail("text", "a string")
    return text


def _read_tool_calls(fields: Fields) -> list[dict[str, Any]]:
    calls = fields.items("tool_calls", max_items=_MAX_TOOL_CALLS) or []
    return [_read_call(call, f"{fields.name('tool_calls')}[{index}]") for index, call in enumerate(calls)]


def _read_call(call: object, path: str) -> dict[str, Any]:
    fields = as_object(call, path)
    function = fields.object("function")
    if function is None:
        raise fields.fail("function", "an object with name and arguments")
    arguments = function.text("arguments")
    return {
        "id": fields.text("id") or "",
        "type": "function",
        "function": {"name": read_name(function), "arguments": arguments or "{}"},
    }
