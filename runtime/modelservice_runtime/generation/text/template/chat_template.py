"""The prompt of a conversation, by the chat template of a model's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.files import parse_object, read_object, read_text
from modelservice_runtime.generation.text.template.budget import (
    CURRENT,
    TemplateTooCostlyError,
    budget_for,
)
from modelservice_runtime.generation.text.template.environment import ChatEnvironment
from modelservice_runtime.generation.text.template.messages import prepare_messages

_MAX_BYTES = 256 * 1024
_MAX_CONFIG_BYTES = 16_000_000  # with some thousand added tokens
_SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
# Where a message ends that is to be continued: its own text may be found in what templates write behind it.
# Source: `apply_chat_template` of Hugging Face's transformers.
_END_MARK = "CONTINUE_FINAL_MESSAGE_TAG "
# What a template does wrong, and what a conversation that it does not expect makes it do.
_TEMPLATE_ERRORS = (
    TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, SyntaxError,
    TypeError, ValueError,
)  # fmt: skip


class ChatTemplate:
    """Renders conversations; used on any thread.

    `sources` are templates by name, "default" and perhaps "tool_use". One that does not compile is told to
    whoever asks for a chat: completions need none.
    """

    def __init__(self, sources: Mapping[str, str], tokens: Mapping[str, str]) -> None:
        self._sources = sources
        self._tokens = dict(tokens)
        self._templates: dict[str, Template | InvalidRequestError] = {
            name: _compiled(source) for name, source in sources.items()
        }

    @property
    def source(self) -> str:
        """The text of the template that renders tools."""
        return self._sources.get("tool_use") or self._sources.get("default", "")

    def render(
        self,
        messages: list[dict[str, object]],
        tools: list[dict[str, object]] | None,
        variables: Mapping[str, object],
    ) -> str:
        """See `TextModel.render_chat`."""
        name = "tool_use" if tools and "tool_use" in self._templates else "default"
        template = self._templates.get(name)
        if template is None:
            raise InvalidRequestError(
                "the model has no chat template: put chat_template.jinja beside it, or send texts to "
                "/v1/completions"
            )
        if isinstance(template, InvalidRequestError):
            raise InvalidRequestError(str(template))
        prepared = prepare_messages(messages, self._sources[name])
        values = {
            **self._tokens,
            "documents": None,
            **variables,
            "messages": prepared,
            "tools": tools or None,
        }
        continues = bool(values.pop("continue_final_message", False)) and bool(prepared)
        if continues:
            values["add_generation_prompt"] = False
            prepared[-1]["content"] += _END_MARK
        text = _rendered(template, values)
        return _until_the_mark(text) if continues else text


def load_chat_template(folder: Path) -> ChatTemplate:
    """Read `chat_template.jinja`, or what `tokenizer_config.json` holds. Raises ModelLoadFailedError."""
    config = read_object(folder / "tokenizer_config.json", _MAX_CONFIG_BYTES)
    source: object = read_text(folder / "chat_template.jinja", _MAX_BYTES)
    if source is None and (content := read_text(folder / "chat_template.json", _MAX_BYTES)) is not None:
        source = parse_object(content, "chat_template.json").get("chat_template")
    if source is None:
        source = config.get("chat_template")
    return ChatTemplate(_by_name(source), _special_tokens(config))


def _by_name(source: object) -> dict[str, str]:
    """One template, or a list of named ones."""
    if isinstance(source, str):
        return {"default": source}
    named = source if isinstance(source, list) else []
    return {
        one["name"]: one["template"]
        for one in named
        if isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("template"), str)
    }


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    tokens = {}
    for name in _SPECIAL_TOKENS:
        token = config.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            tokens[name] = token
    return tokens


def _compiled(source: str) -> Template | InvalidRequestError:
    if len(source) > _MAX_BYTES:
        return InvalidRequestError("the model's chat template is too large to be used; ask for a completion")
    try:
        return ChatEnvironment().compile_counted(source)
    except _TEMPLATE_ERRORS as error:
        return InvalidRequestError(f"the model's chat template cannot be used: {str(error)[:200]}")


def _rendered(template: Template, values: dict[str, object]) -> str:
    reset = CURRENT.set(budget_for(values))
    try:
        return "".join(template.root_render_func(template.new_context(values)))
    except TemplateTooCostlyError as error:
        raise InvalidRequestError(
            f"the model's chat template cannot render this conversation: {error}"
        ) from error
    except _TEMPLATE_ERRORS as error:
        sentence = str(error)[:500] or type(error).__name__
        raise InvalidRequestError(
            f"the model's chat template refuses the conversation: {sentence}"
        ) from error
    finally:
        CURRENT.reset(reset)


def _until_the_mark(text: str) -> str:
    """The prompt up to the end of the last message, which the model is to continue."""
    place = text.rfind(_END_MARK.strip())
    if place < 0:
        raise InvalidRequestError(
            "continue_final_message: the chat template does not show the last message as it is; "
            "send add_generation_prompt instead"
        )
    # A template that takes the mark's space away does so with those of the message.
    return text[:place] if text.startswith(_END_MARK, place) else text[:place].rstrip()
