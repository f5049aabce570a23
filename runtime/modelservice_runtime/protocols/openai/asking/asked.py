"""What a client asks of a text model, read of its body; pure.

The pieces stay apart from prompts as tokens: templates and tokenizers take their time, on another thread.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.asking.formats import AskedForm, read_format, read_response_format
from modelservice_runtime.protocols.openai.asking.messages import read_messages
from modelservice_runtime.protocols.openai.asking.sampling import (
    MAX_LOGPROBS,
    Wishes,
    read_token_ids,
    read_wishes,
)
from modelservice_runtime.protocols.openai.asking.tools import AskedCalls, read_calls, read_tools
from modelservice_runtime.protocols.openai.errors import FieldError

MAX_PROMPTS = 64
_MAX_PROMPT_TOKENS = 1 << 22
# What a template is given by us; a request's variables cannot stand in for them.
_RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "continue_final_message"})

Prompt: TypeAlias = str | list[int]


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """A conversation to be continued. `param` is the field that it came in."""

    wishes: Wishes
    messages: list[dict[str, Any]]
    calls: AskedCalls
    variables: dict[str, Any]
    form: AskedForm | None
    param: str = "messages"


@dataclass(frozen=True, slots=True)
class CompletionAsked:
    """Texts to be continued. With `echo` an answer begins with its prompt, and logprobs with its tokens'.

    `param` is the field that they came in.
    """

    wishes: Wishes
    prompts: list[Prompt]
    echo: bool
    form: AskedForm | None
    param: str = "prompt"


def read_chat(fields: Fields) -> ChatAsked:
    """The body of `/v1/chat/completions`. Raises FieldError."""
    if fields.flag("echo"):
        raise FieldError("'echo' is for /v1/completions alone", "echo")
    wants_logprobs = fields.flag("logprobs")
    top = fields.whole("top_logprobs", 0, MAX_LOGPROBS)
    if top and not wants_logprobs:
        raise FieldError("'top_logprobs' needs 'logprobs' to be true", "top_logprobs")
    form = read_format(fields, read_response_format(fields))
    calls = read_calls(fields, read_tools(fields), form)
    return ChatAsked(
        wishes=read_wishes(fields, (top or 0) if wants_logprobs else None),
        messages=read_messages(fields),
        calls=calls,
        variables=read_variables(fields),
        form=form or calls.form,
    )


def read_completion(fields: Fields) -> CompletionAsked:
    """The body of `/v1/completions`. Raises FieldError."""
    if fields.text("suffix"):
        raise FieldError("'suffix' is not supported: the model continues texts at their end", "suffix")
    logprobs, echo = fields.whole("logprobs", 0, MAX_LOGPROBS), fields.flag("echo")
    return CompletionAsked(
        wishes=read_wishes(fields, logprobs, least_tokens=0 if echo else 1),
        prompts=_read_prompts(fields),
        echo=echo,
        form=read_format(fields, read_response_format(fields)),
    )


def read_variables(fields: Fields) -> dict[str, Any]:
    """What the template is given beside the conversation. Raises FieldError."""
    variables = fields.raw_object("chat_template_kwargs") or {}
    for name in variables:
        if name in _RESERVED:
            path = f"chat_template_kwargs.{name}"
            raise FieldError(f"'{path}' is the server's own; leave it out", path)
    continues = fields.flag("continue_final_message")
    begins = fields.flag("add_generation_prompt", default=not continues)
    if begins and continues:
        raise FieldError(
            "'continue_final_message' contradicts 'add_generation_prompt'; send one of them",
            "continue_final_message",
        )
    return {**variables, "add_generation_prompt": begins, "continue_final_message": continues}


def _read_prompts(fields: Fields) -> list[Prompt]:
    """One text or its token ids, or several of them."""
    fields.required("prompt")
    value = fields.any("prompt")
    if isinstance(value, str):
        return [value]
    expected = "a string, a list of token ids, or a list of up to 64 of these"
    if not isinstance(value, list) or not value:
        raise fields.fail("prompt", expected)
    if type(value[0]) is int:
        return [read_token_ids(fields, "prompt", _MAX_PROMPT_TOKENS) or []]
    if len(value) > MAX_PROMPTS:
        raise FieldError(f"'prompt' has {len(value)} entries; it may have {MAX_PROMPTS}", "prompt")
    return [_read_prompt(one, index) for index, one in enumerate(value)]


def _read_prompt(value: object, index: int) -> Prompt:
    if isinstance(value, str):
        return value
    path = f"prompt[{index}]"
    ids = read_token_ids(Fields({path: value}), path, _MAX_PROMPT_TOKENS)
    if not ids:
        raise FieldError(f"'{path}' must be a string or a list of token ids", path)
    return ids
