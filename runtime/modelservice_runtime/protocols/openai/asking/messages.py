"""A conversation as clients send it, as the plain dictionaries that chat templates read; pure."""

from typing import Any

from modelservice_runtime.protocols.openai.asking.fields import Fields, shown
from modelservice_runtime.protocols.openai.errors import FieldError

MAX_MESSAGES = 4096
_MAX_PARTS = 1024
# Parts and calls of all messages together.
_MAX_PARTS_IN_ALL = 4096
_MAX_TOOLS = 128
_MAX_TOOL_CALLS = 128
_MAX_NAME_LENGTH = 128
_ROLES = ("system", "developer", "user", "assistant", "tool")
_KINDS = {
    "image_url": "images",
    "input_image": "images",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "videos",
    "file": "files",
}


def read_messages(fields: Fields) -> list[dict[str, Any]]:
    """The messages. Raises FieldError."""
    fields.required("messages")
    messages = fields.items("messages", max_items=MAX_MESSAGES) or []
    if not messages:
        raise FieldError("'messages' is empty; send at least one message", "messages")
    parts = sum(map(_count_parts, messages))
    if parts > _MAX_PARTS_IN_ALL:
        raise FieldError(
            f"'messages' has {parts} parts and calls of tools; it may have {_MAX_PARTS_IN_ALL}", "messages"
        )
    return [_read_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _count_parts(message: object) -> int:
    listed = (message.get("content"), message.get("tool_calls")) if isinstance(message, dict) else ()
    return sum(len(one) for one in listed if isinstance(one, list))


def read_tools(fields: Fields) -> list[dict[str, Any]] | None:
    """The tools as they were sent, which is what templates expect; None without any. Raises FieldError."""
    tools = fields.items("tools", max_items=_MAX_TOOLS)
    if not tools:
        return None
    names = [_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    if len(set(names)) < len(names):
        raise FieldError("'tools' has two functions of one name", "tools")
    return tools


def tool_name(tool: dict[str, Any]) -> str:
    """The name of a tool that was read."""
    return str(tool["function"]["name"])


def _read_tool(tool: object, path: str) -> str:
    fields = _object(tool, path)
    if fields.any("type") != "function":
        raise fields.fail("type", "'function'")
    function = fields.object("function")
    if function is None:
        raise fields.fail("function", "an object with a name")
    function.text("description")
    function.raw_object("parameters")
    return _read_name(function)


def _read_name(function: Fields) -> str:
    name = function.text("name", max_length=_MAX_NAME_LENGTH)
    if not name:
        raise function.fail("name", f"a name of 1 to {_MAX_NAME_LENGTH} characters")
    return name


def _read_message(message: object, path: str) -> dict[str, Any]:
    fields = _object(message, path)
    role = fields.any("role")
    if role not in _ROLES:
        raise fields.fail("role", f"one of {', '.join(_ROLES)}")
    if fields.has("audio"):
        raise FieldError(f"'{path}.audio' is not supported: the model reads text", f"{path}.audio")
    calls = _read_tool_calls(fields) if role == "assistant" else []
    content = _read_content(fields, path)
    if content is None and role == "assistant":
        content = fields.text("refusal")
    if content is None and not calls:
        raise fields.fail("content", "a string, or a list of text parts")
    read: dict[str, Any] = {"role": role, "content": content or ""}
    name = fields.text("name", max_length=_MAX_NAME_LENGTH)
    if name is not None:
        read["name"] = name
    if calls:
        read["tool_calls"] = calls
    if role == "assistant" and fields.has("reasoning_content"):
        read["reasoning_content"] = fields.text("reasoning_content")
    if role == "tool":
        read["tool_call_id"] = fields.text("tool_call_id") or ""
    return read


def _read_content(fields: Fields, path: str) -> str | None:
    content = fields.any("content")
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list) or len(content) > _MAX_PARTS:
        raise fields.fail("content", f"a string, or a list of up to {_MAX_PARTS} text parts")
    # As templates are written, and as vLLM does it.
    return "\n".join([_read_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)])


def _read_part(part: object, path: str) -> str:
    fields = _object(part, path)
    kind = fields.any("type")
    if isinstance(kind, str) and kind in _KINDS:
        raise FieldError(
            f"'{path}.type' is '{kind}'; the model reads text and no {_KINDS[kind]}", f"{path}.type"
        )
    if kind not in ("text", "input_text", "refusal"):
        raise fields.fail("type", "'text'")
    text = fields.text("refusal" if kind == "refusal" else "text")
    if text is None:
        raise fields.fail("text", "a string")
    return text


def _read_tool_calls(fields: Fields) -> list[dict[str, Any]]:
    calls = fields.items("tool_calls", max_items=_MAX_TOOL_CALLS) or []
    return [_read_call(call, f"{fields.name('tool_calls')}[{index}]") for index, call in enumerate(calls)]


def _read_call(call: object, path: str) -> dict[str, Any]:
    fields = _object(call, path)
    function = fields.object("function")
    if function is None:
        raise fields.fail("function", "an object with name and arguments")
    arguments = function.text("arguments")
    return {
        "id": fields.text("id") or "",
        "type": "function",
        "function": {"name": _read_name(function), "arguments": arguments or "{}"},
    }


def _object(value: object, path: str) -> Fields:
    if not isinstance(value, dict):
        raise FieldError(f"'{path}' is {shown(value)}; it must be an object", path)
    return Fields(value, path)
