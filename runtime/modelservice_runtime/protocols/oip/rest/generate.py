"""Triton's generate extension: `/v2/models/M/generate`, and the same as events of a stream.

Source: Triton, `docs/protocol/extension_generate.md`; names of parameters are those of its vLLM and
TensorRT-LLM back ends, where they have one.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import GenerativeModel, TokenLogprob, Usage
from modelservice_runtime.protocols.openai.answering.call import Choice
from modelservice_runtime.protocols.openai.answering.prompts import Asker, prepare_completion
from modelservice_runtime.protocols.openai.answering.starting import start_call
from modelservice_runtime.protocols.openai.asking.asked import CompletionAsked
from modelservice_runtime.protocols.openai.asking.fields import Fields, parse_object
from modelservice_runtime.protocols.openai.asking.formats import read_format, read_response_format
from modelservice_runtime.protocols.openai.asking.sampling import read_wishes
from modelservice_runtime.protocols.openai.body import read_body
from modelservice_runtime.protocols.openai.errors import FieldError
from modelservice_runtime.transport.http import HttpRequest, HttpResponse
from modelservice_runtime.transport.status import error_response

# Other names of fields that we know.
_ALIASES = {"stop_words": "stop", "random_seed": "seed"}
# TensorRT-LLM's clients send these always, as an empty text where there are none.
_WORDS = ("stop_words", "bad_words")


class GenerateForm:
    """See `Form`. `name` is what the model was asked for by."""

    def __init__(self, name: str, version: str, request_id: str | None) -> None:
        self._head: dict[str, Any] = {"model_name": name, "model_version": version}
        if request_id is not None:
            self._head["id"] = request_id

    def logprob(self, logprob: TokenLogprob) -> TokenLogprob:
        """See `Form.logprob`; nobody asks for any."""
        return logprob

    def first_frames(self) -> bytes:
        """See `Form.first_frames`."""
        return b""

    def frames(self, choice: Choice) -> bytes:
        """See `Form.frames`."""
        text = "".join(map(str, choice.pieces))
        choice.pieces, choice.logprobs = [], []
        return _frame({**self._head, "text_output": text}) if text else b""

    def last_frames(self, _usage: Usage) -> bytes:
        """See `Form.last_frames`."""
        return b""

    def error_frames(self, error: ServingError) -> bytes:
        """See `Form.error_frames`."""
        return _frame({"error": str(error)})

    def whole(self, choices: Sequence[Choice], _usage: Usage) -> HttpResponse:
        """See `Form.whole`."""
        text = "".join(map(str, choices[0].pieces))
        return HttpResponse(200, orjson.dumps({**self._head, "text_output": text}))

    def error(self, error: ServingError) -> HttpResponse:
        """See `Form.error`."""
        return error_response(error)


def answer_generate(model: GenerativeModel, name: str, request: HttpRequest, *, streamed: bool) -> None:
    """Generate what the body asks for; the answer comes later. Raises ServingError.

    `name` is the model's own, or that of one of its adapters.
    """
    fields = read_body(request)
    form, asked = GenerateForm(name, model.version, fields.text("id")), _read(fields, name)
    make_texts = partial(prepare_completion, model, asked, Asker(request.owner, model.adapter_of(name)))
    request.tell({"gen_ai.operation.name": "text_completion", "gen_ai.request.model": name})
    start_call(request, model.lane, form, make_texts, streamed=streamed)


def _read(fields: Fields, model: str) -> CompletionAsked:
    fields.required("text_input")
    text = fields.text("text_input") or ""
    merged = _merge(fields, model)
    wishes = read_wishes(merged, None)
    if wishes.choices > 1:
        raise FieldError("'n' must be 1: there is one 'text_output'", "n")
    echo = not merged.flag("exclude_input_in_output", default=True)
    form = read_format(merged, read_response_format(merged))
    return CompletionAsked(wishes, [text], echo, form, param="text_input")


def _merge(fields: Fields, model: str) -> Fields:
    """Triton's fields of all places by our names; vLLM's back end takes an object written as a text, too."""
    document = {**fields.document, **(fields.raw_object("parameters") or {}), "model": model}
    written = Fields(document).text("sampling_parameters")
    if written:
        document |= parse_object(written.encode(), "'sampling_parameters'") | {"model": model}
    for name in _WORDS:
        if document.get(name) in ("", [""]):
            del document[name]
    sent_as = {name: alias for alias, name in _ALIASES.items() if document.get(name) is None}
    return Fields({**document, **{name: document.get(alias) for name, alias in sent_as.items()}}, "", sent_as)


def _frame(document: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)
