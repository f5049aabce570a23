"""A conversation in the form that chat templates are written for."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from modelservice_runtime.errors import InvalidRequestError

# Mistral's templates refuse all other lengths.
_SHORT_ID = 9


def prepare_messages(messages: list[dict[str, object]], source: str) -> list[dict[str, Any]]:
    """Copies of the messages, as the template with this source expects them.

    Parts become one text, absent contents an empty one, arguments of calls objects; `developer` is `system`
    to templates that do not know it, and ids are as short as Mistral's templates want them.
    """
    knows_developer = "developer" in source
    shortens = "|length != 9" in source.replace(" |", "|").replace("| ", "|") or "length 9" in source
    prepared = []
    for number, message in enumerate(messages):
        copy: dict[str, Any] = {**message, "content": _content(message.get("content"), number)}
        if copy.get("role") == "developer" and not knows_developer:
            copy["role"] = "system"
        if calls := copy.get("tool_calls"):
            copy["tool_calls"] = [
                _call(call, number) for call in _list(calls, f"messages[{number}].tool_calls")
            ]
        else:
            copy.pop("tool_calls", None)
        if shortens:
            _shorten_ids(copy)
        prepared.append(copy)
    return prepared


def _content(content: object, number: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    place = f"messages[{number}].content"
    texts = []
    for part in _list(content, place):
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("refusal" if kind == "refusal" else "text") if isinstance(part, dict) else None
        if kind not in ("text", "input_text", "output_text", "refusal") or not isinstance(text, str):
            raise InvalidRequestError(
                f"{place} has a part of type {kind!r}, expected text; the model reads no other"
            )
        texts.append(text)
    return "\n".join(texts)


def _call(call: object, number: int) -> dict[str, Any]:
    place = f"messages[{number}].tool_calls"
    function = call.get("function") if isinstance(call, dict) else None
    if (
        not isinstance(call, dict)
        or not isinstance(function, dict)
        or not isinstance(function.get("name"), str)
    ):
        raise InvalidRequestError(f"{place} has a call without function.name")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = _parsed(arguments, place)
    if not isinstance(arguments, Mapping):
        raise InvalidRequestError(f"{place} has arguments that are no JSON object")
    return {**call, "function": {**function, "arguments": arguments}}


def _parsed(arguments: str, place: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{place} has arguments that are no JSON object") from error


def _list(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise InvalidRequestError(f"{place} is a {type(value).__name__}, expected a list")
    return value


def _shorten_ids(message: dict[str, Any]) -> None:
    for call in message.get("tool_calls", ()):
        if isinstance(call.get("id"), str):
            call["id"] = _short(call["id"])
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = _short(message["tool_call_id"])


def _short(identifier: str) -> str:
    if len(identifier) == _SHORT_ID and identifier.isalnum():
        return identifier
    return sha256(identifier.encode()).hexdigest()[:_SHORT_ID]
