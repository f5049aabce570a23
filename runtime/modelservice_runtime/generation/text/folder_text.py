"""Texts of one generative model, by the files of its folder."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError, ModelLoadFailedError
from modelservice_runtime.generation.config import read_config
from modelservice_runtime.generation.text.guidance import Guidance
from modelservice_runtime.generation.text.panics import failures_told
from modelservice_runtime.generation.text.stream import TextStream
from modelservice_runtime.generation.text.template.chat_template import ChatTemplate, load_chat_template
from modelservice_runtime.generation.text.token_bytes import TokenBytes
from modelservice_runtime.generation.text.tokenizer import load_tokenizer
from modelservice_runtime.generation.text.tools.families import PLAIN, family_of
from modelservice_runtime.generation.values import FormKind, GenerationRequest, Guide, TextForm, ToolReader

# Special tokens that begin calls of tools: what reads those needs to see them.
_CALL_MARKERS = ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>", "<tool_call>", "</tool_call>")
_SHOWN_TOKENS = 16_384


class FolderText:
    """See `TextModel`; used on any thread. Without `guidance` no text can be kept in a form."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate | None = None, guidance: Guidance | None = None
    ) -> None:
        self._tokenizer = tokenizer
        # Logprobs tell the same tokens over and over, 20 beside each that is chosen.
        self._token_bytes = lru_cache(_SHOWN_TOKENS)(TokenBytes(tokenizer).of)
        self._template = template or ChatTemplate({}, {})
        self._guidance = guidance
        self._family = family_of(self._template.source)
        # A model that knows no calls can still be held to one.
        self._calls = self._family or PLAIN
        self._kept = {
            token: marker for marker in _CALL_MARKERS if (token := tokenizer.token_to_id(marker)) is not None
        }

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """See `TextModel.encode`; other threads run meanwhile.

        Raises InvalidRequestError for what is no text: arguments of tools come as JSON, which may hold that.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                "the text holds half a character (a lone surrogate, such as \\ud800); send whole ones"
            ) from error
        with failures_told(_untokenized):
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
            ids: list[int] = encoding.ids
        return ids

    def decode(self, tokens: list[int]) -> str:
        """See `TextModel.decode`."""
        with failures_told(_untokenized):
            text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def token_bytes(self, token: int) -> bytes:
        """See `TextModel.token_bytes`."""
        return self._token_bytes(token)

    def render_chat(
        self,
        messages: list[dict[str, object]],
        tools: list[dict[str, object]] | None,
        variables: Mapping[str, object],
    ) -> str:
        """See `TextModel.render_chat`; the variable `continue_final_message` ends it in the last message."""
        return self._template.render(messages, tools, variables)

    def read_tools(self, *, is_forced: bool) -> ToolReader:
        """See `TextModel.read_tools`."""
        if self._family is None and not is_forced:
            raise InvalidRequestError(
                "the model's chat template shows no calls of tools as Qwen, Hermes, Llama 3 or Mistral write "
                "them; ask without tools, or with 'tool_choice' required or a named function"
            )
        return self._calls.reader()

    def guide(self, form: TextForm) -> Guide:
        """See `TextModel.guide`; takes milliseconds, in which other threads run."""
        guidance = self._guidance
        if guidance is None:
            raise InvalidRequestError("texts of this model cannot be kept in a form")
        match form.kind:
            case FormKind.JSON_OBJECT:
                return guidance.of_schema({"type": "object"})
            case FormKind.JSON_SCHEMA:
                return guidance.of_schema(form.value)
            case FormKind.REGEX:
                return guidance.of_pattern(form.value)
            case FormKind.CHOICE:
                return guidance.of_choice(form.value)
            case FormKind.TOOL_CALL | FormKind.TOOL_CALLS:
                find, only_one = self._tokenizer.token_to_id, form.kind is FormKind.TOOL_CALL
                grammar = self._calls.grammar(
                    form.value, lambda text: guidance.literal(text, find(text)), only_one=only_one
                )
                return guidance.of_grammar(grammar)

    def begin(self, request: GenerationRequest) -> TextStream:
        """The text of one generation. Raises InvalidRequestError for stop strings beyond the limits."""
        return TextStream(self._tokenizer, request, self._kept)


def load_text(folder: Path, *, guides: bool = True) -> FolderText:
    """Read the files. Raises ModelLoadFailedError, ModelRejectedError."""
    tokenizer, template = load_tokenizer(folder), load_chat_template(folder)
    if not guides:
        return FolderText(tokenizer, template)
    config = read_config(folder)
    vocabulary = max(config.vocabulary, tokenizer.get_vocab_size())
    with failures_told(_unguided):
        guidance = Guidance(tokenizer.to_str(), vocabulary, sorted(config.eos_ids))
    return FolderText(tokenizer, template, guidance)


def _untokenized(sentence: str) -> InferenceFailedError:
    return InferenceFailedError(f"the model's tokenizer fails on this text: {sentence}")


def _unguided(sentence: str) -> ModelLoadFailedError:
    return ModelLoadFailedError(f"tokenizer.json: {sentence}; export the model again")
