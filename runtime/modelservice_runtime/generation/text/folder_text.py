"""Texts of one generative model, by the files of its folder."""

from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer

from modelservice_runtime.errors import InferenceFailedError
from modelservice_runtime.generation.text.panics import failures_told
from modelservice_runtime.generation.text.stream import TextStream
from modelservice_runtime.generation.text.template.chat_template import ChatTemplate, load_chat_template
from modelservice_runtime.generation.text.tokenizer import load_tokenizer
from modelservice_runtime.generation.values import GenerationRequest

# Special tokens that begin calls of tools: what reads those needs to see them.
_CALL_MARKERS = ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>", "<tool_call>", "</tool_call>")


class FolderText:
    """See `TextModel`; used on any thread."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = template or ChatTemplate({}, {})
        self._kept = {
            token: marker for marker in _CALL_MARKERS if (token := tokenizer.token_to_id(marker)) is not None
        }

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """See `TextModel.encode`; other threads run meanwhile."""
        with failures_told(_untokenized):
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
            ids: list[int] = encoding.ids
        return ids

    def decode(self, tokens: list[int]) -> str:
        """See `TextModel.decode`."""
        with failures_told(_untokenized):
            text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def render_chat(
        self,
        messages: list[dict[str, object]],
        tools: list[dict[str, object]] | None,
        variables: Mapping[str, object],
    ) -> str:
        """See `TextModel.render_chat`; the variable `continue_final_message` ends it in the last message."""
        return self._template.render(messages, tools, variables)

    def begin(self, request: GenerationRequest) -> TextStream:
        """The text of one generation. Raises InvalidRequestError for stop strings beyond the limits."""
        return TextStream(self._tokenizer, request, self._kept)


def load_text(folder: Path) -> FolderText:
    """Read the files. Raises ModelLoadFailedError, ModelRejectedError."""
    return FolderText(load_tokenizer(folder), load_chat_template(folder))


def _untokenized(sentence: str) -> InferenceFailedError:
    return InferenceFailedError(f"the model's tokenizer fails on this text: {sentence}")
