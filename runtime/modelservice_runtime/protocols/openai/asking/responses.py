"""The body of `/v1/responses`, as a conversation to be continued and as what its answer repeats; pure.

Source: OpenAI's API reference, "Create a model response". Nothing is stored: what refers to something that
was, is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelservice_runtime.protocols.openai.asking.asked import ChatAsked, read_variables
from modelservice_runtime.protocols.openai.asking.fields import Fields, shown
from modelservice_runtime.protocols.openai.asking.formats import read_format, read_text_format
from modelservice_runtime.protocols.openai.asking.items import read_input
from modelservice_runtime.protocols.openai.asking.sampling import MAX_LOGPROBS, read_wishes, refuse
from modelservice_runtime.protocols.openai.asking.tools import named_function, read_calls, read_flat_tools
from modelservice_runtime.protocols.openai.errors import FieldError

_STATELESS = "nothing is stored here; send the whole conversation as 'input'"
_REFUSED = {
    "previous_response_id": _STATELESS,
    "conversation": _STATELESS,
    "prompt": "no prompts are stored here; send 'instructions' and 'input'",
    "moderation": "this server judges no texts",
    # Names of chat, which would be overlooked.
    "messages": "send 'input'",
    "max_tokens": "send 'max_output_tokens'",
    "max_completion_tokens": "send 'max_output_tokens'",
    "response_format": "send 'text.format'",
}
_REFUSED_WHERE_ASKED = {
    "background": "nothing is stored here; leave it out, and wait for the answer or stream it",
    "logprobs": "send 'include' with 'message.output_text.logprobs', and 'top_logprobs'",
}
_LOGPROBS = "message.output_text.logprobs"
# There is no reasoning to encrypt; clients that store nothing send it always.
_INCLUDABLE = (_LOGPROBS, "reasoning.encrypted_content")
_MAX_INCLUDED = 64
_MAX_METADATA, _MAX_METADATA_KEY, _MAX_METADATA_VALUE = 16, 64, 512
_MAX_ID_LENGTH = 512
_MAX_CALLS = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class ResponseAsked:
    """A conversation, and the members that the answer repeats, each written as JSON."""

    chat: ChatAsked
    repeated: Mapping[str, orjson.Fragment]


def read_response(fields: Fields) -> ResponseAsked:
    """The body of `/v1/responses`. Raises FieldError."""
    refuse(fields, _REFUSED, _REFUSED_WHERE_ASKED)
    if (fields.whole("n", 0, _MAX_CALLS) or 1) != 1:
        raise FieldError("'n' is not supported: a response is one text; ask as often as you want some", "n")
    form = read_format(fields, read_text_format(fields))
    tools = read_flat_tools(fields)
    calls = read_calls(fields, tools, form)
    chat = ChatAsked(
        wishes=read_wishes(fields, _read_logprobs(fields), limits=("max_output_tokens",)),
        messages=read_input(fields),
        calls=calls,
        variables=read_variables(fields),
        form=form or calls.form,
        param="input",
    )
    return ResponseAsked(chat, _written(_repeated(fields, chat)))


def _read_logprobs(fields: Fields) -> int | None:
    """How many alternatives are told of a token; None tells nothing. Who asks for some, wants logprobs."""
    included = fields.items("include", max_items=_MAX_INCLUDED) or []
    for index, one in enumerate(included):
        if one not in _INCLUDABLE:
            path = f"include[{index}]"
            raise FieldError(
                f"'{path}' is {shown(one)}; this server has only {' and '.join(_INCLUDABLE)}", path
            )
    top = fields.whole("top_logprobs", 0, MAX_LOGPROBS) or 0
    return top if top or _LOGPROBS in included else None


def _repeated(fields: Fields, chat: ChatAsked) -> dict[str, Any]:
    """What an answer says of its request, and what became of fields that change nothing here."""
    fields.flag("store")
    fields.choice("truncation", ("auto", "disabled"))
    return {
        "background": False,
        "instructions": fields.text("instructions"),
        "max_output_tokens": chat.wishes.ends.max_tokens,
        "max_tool_calls": fields.whole("max_tool_calls", 0, _MAX_CALLS),
        "metadata": _read_metadata(fields),
        "parallel_tool_calls": not chat.calls.only_one,
        "previous_response_id": None,
        "prompt_cache_key": fields.text("prompt_cache_key", max_length=_MAX_ID_LENGTH),
        "reasoning": _reasoning(fields),
        "safety_identifier": fields.text("safety_identifier", max_length=_MAX_ID_LENGTH),
        "service_tier": "default",
        "store": False,
        "text": _text(fields),
        "tool_choice": _tool_choice(fields.any("tool_choice")),
        "tools": _tools(fields),
        "top_logprobs": chat.wishes.logprobs or 0,
        "truncation": "disabled",
        "user": fields.text("user", max_length=_MAX_ID_LENGTH),
    }


def _written(repeated: Mapping[str, Any]) -> dict[str, orjson.Fragment]:
    """Written once, as a stream tells them three times."""
    written = {}
    for name, value in repeated.items():
        try:
            written[name] = orjson.Fragment(orjson.dumps(value))
        except orjson.JSONEncodeError:  # what was read of JSON, so it is this
            raise FieldError(f"'{name}' has lists and objects in more than 250 others", name) from None
    return written


def _read_metadata(fields: Fields) -> dict[str, Any]:
    metadata = fields.raw_object("metadata") or {}
    texts = all(
        isinstance(value, str) and len(value) <= _MAX_METADATA_VALUE and len(key) <= _MAX_METADATA_KEY
        for key, value in metadata.items()
    )
    if len(metadata) > _MAX_METADATA or not texts:
        expected = (
            f"up to {_MAX_METADATA} strings of up to {_MAX_METADATA_VALUE} characters, under names of up to "
            f"{_MAX_METADATA_KEY}"
        )
        raise fields.fail("metadata", expected)
    return metadata


def _reasoning(fields: Fields) -> dict[str, Any]:
    reasoning = fields.object("reasoning") or Fields({}, "reasoning")
    return {
        "effort": reasoning.text("effort", max_length=_MAX_ID_LENGTH),
        "summary": reasoning.choice("summary", ("auto", "concise", "detailed")),
    }


def _text(fields: Fields) -> dict[str, Any]:
    text = fields.object("text") or Fields({}, "text")
    wanted = text.object("format") or Fields({"type": "text"}, "text.format")
    told: dict[str, Any] = {"type": wanted.any("type")}
    if told["type"] == "json_schema":
        told |= {
            "name": wanted.text("name") or "response",
            "description": wanted.text("description"),
            "schema": wanted.any("schema"),
            "strict": wanted.flag("strict"),
        }
    return {"format": told, "verbosity": text.choice("verbosity", ("low", "medium", "high"))}


def _tools(fields: Fields) -> list[dict[str, Any]]:
    """As they were sent; members that clients expect are there."""
    expected = {"description": None, "parameters": None, "strict": None}
    return [{**expected, **tool} for tool in fields.any("tools") or []]


def _tool_choice(choice: Any) -> Any:
    """One that was read, as responses tell it."""
    if not isinstance(choice, dict):
        return choice or "auto"
    if choice.get("type") != "allowed_tools":
        return {"type": "function", "name": named_function(choice)}
    allowed = choice.get("allowed_tools") or choice
    named = [{"type": "function", "name": named_function(tool)} for tool in allowed["tools"]]
    return {"type": "allowed_tools", "mode": allowed["mode"], "tools": named}
