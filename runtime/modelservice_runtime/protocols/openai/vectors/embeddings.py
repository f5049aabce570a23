"""`/v1/embeddings`: texts to vectors.

Source: OpenAI's API reference, "Embeddings". A graph that reads texts itself counts no tokens: its usage is
told as 0.
"""

import base64
from collections.abc import Sequence
from functools import partial

import numpy as np
import orjson

from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.models.text_inputs import TextInputs
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.errors import FieldError
from modelservice_runtime.protocols.openai.models import read_model_name
from modelservice_runtime.protocols.openai.vectors.run import (
    find_tensor_model,
    run_texts,
    run_tokens,
    text_array,
)
from modelservice_runtime.protocols.openai.vectors.signatures import Encoder, find_encoder
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

MAX_TEXTS_AT_ONCE = 2048
# Clients make ids by the vocabularies of OpenAI's models: another model's vectors of them would mean nothing.
_NO_IDS = (
    "'input' holds token ids, which are those of another model's vocabulary; send the texts themselves "
    "(LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False)"
)


def answer_embeddings(table: ModelTable, fields: Fields, request: HttpRequest) -> HttpResponse | None:
    """Embed what the body holds, now or later. Raises ServingError."""
    name = read_model_name(fields)
    handle = find_tensor_model(table, name)
    encoder = _find_encoder(handle)
    texts = _read_texts(fields)
    dimensions = fields.whole("dimensions", 1, 1 << 31)
    _check_dimensions(dimensions, encoder.width)
    is_base64 = fields.choice("encoding_format", ("float", "base64")) == "base64"
    encode = partial(_encode, name, dimensions=dimensions, is_base64=is_base64)
    request.tell({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": name})
    if isinstance(encoder, TextInputs):
        run_tokens(handle, request, texts, encode)
        return None
    inputs = {encoder.text.name: text_array(encoder.text, texts)}
    return run_texts(handle, request, inputs, encoder.vector, encode)


def _find_encoder(handle: ModelHandle) -> Encoder | TextInputs:
    """What makes vectors of texts, in the graph or beside it. Raises FieldError."""
    encoder = find_encoder(handle.spec)
    if encoder is not None:
        return encoder
    if handle.texts is None or handle.texts.told.activation:
        raise FieldError(
            f"model '{handle.name}' gives no embeddings: that takes one input of texts (BYTES), or a "
            "tokenizer.json beside a graph of tokens, and an output with a vector for each",
            "model",
        )
    return handle.texts


def _read_texts(fields: Fields) -> Sequence[str]:
    fields.required("input")
    value = fields.any("input")
    if isinstance(value, str):
        return [value]
    texts = fields.items("input", max_items=MAX_TEXTS_AT_ONCE) or []
    if not texts:
        raise fields.fail("input", "a string, or a list of at least one")
    if isinstance(texts[0], int | list):
        raise FieldError(_NO_IDS, "input")
    if not all(isinstance(text, str) for text in texts):
        raise fields.fail("input", "a string, or a list of strings")
    return texts


def _check_dimensions(wanted: int | None, width: int) -> None:
    """A vector that is cut short is another vector, unless the model was trained for it: nobody knows.

    `width` is -1 where the graph leaves it open; then what it gives is looked at.
    """
    if wanted is not None and width not in (wanted, -1):
        raise FieldError(
            f"'dimensions' is {wanted}; the model's vectors have {width} numbers, and none are left out",
            "dimensions",
        )


def _encode(
    name: str, vectors: Array, tokens: int = 0, *, dimensions: int | None, is_base64: bool
) -> HttpResponse:
    rows = np.ascontiguousarray(vectors.reshape(len(vectors), -1), "<f4")
    _check_dimensions(dimensions, rows.shape[1])
    shown = [base64.b64encode(row.tobytes()).decode("ascii") for row in rows] if is_base64 else list(rows)
    document = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(shown)
        ],
        "model": name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return HttpResponse(200, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
