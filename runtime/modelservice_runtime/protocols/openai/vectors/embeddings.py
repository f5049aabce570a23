"""`/v1/embeddings`: texts to vectors.

Source: OpenAI's API reference, "Embeddings". Tokens are counted inside the graph, if at all, so the usage is
told as 0.
"""

import base64
from collections.abc import Sequence
from functools import partial

import numpy as np
import orjson

from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.errors import FieldError
from modelservice_runtime.protocols.openai.models import read_model_name
from modelservice_runtime.protocols.openai.vectors.run import find_tensor_model, run_texts, text_array
from modelservice_runtime.protocols.openai.vectors.signatures import Encoder, find_encoder
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

MAX_TEXTS_AT_ONCE = 2048
_NO_USAGE = {"prompt_tokens": 0, "total_tokens": 0}


def answer_embeddings(table: ModelTable, fields: Fields, request: HttpRequest) -> HttpResponse | None:
    """Embed what the body holds, now or later. Raises ServingError."""
    name = read_model_name(fields)
    handle = find_tensor_model(table, name)
    encoder = find_encoder(handle.spec)
    if encoder is None:
        raise FieldError(
            f"model '{name}' gives no embeddings: that takes one input of texts (BYTES) and an output with a "
            "vector for each",
            "model",
        )
    texts = _read_texts(fields)
    _check_dimensions(fields, encoder)
    is_base64 = fields.choice("encoding_format", ("float", "base64")) == "base64"
    inputs = {encoder.text.name: text_array(encoder.text, texts)}
    encode = partial(_encode, name, is_base64=is_base64)
    request.tell({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": name})
    return run_texts(handle, request, inputs, encoder.vector, encode)


def _read_texts(fields: Fields) -> Sequence[str]:
    fields.required("input")
    value = fields.any("input")
    if isinstance(value, str):
        return [value]
    texts = fields.items("input", max_items=MAX_TEXTS_AT_ONCE) or []
    if not texts:
        raise fields.fail("input", "a string, or a list of at least one")
    if isinstance(texts[0], int | list):
        raise FieldError("'input' holds token ids; the model reads texts itself, so send those", "input")
    if not all(isinstance(text, str) for text in texts):
        raise fields.fail("input", "a string, or a list of strings")
    return texts


def _check_dimensions(fields: Fields, encoder: Encoder) -> None:
    """A vector that is cut short is another vector, unless the model was trained for it: nobody knows."""
    wanted = fields.whole("dimensions", 1, 1 << 31)
    if wanted is not None and wanted != encoder.width:
        raise FieldError(
            f"'dimensions' is {wanted}; the model's vectors have {encoder.width} numbers, and none are left "
            "out",
            "dimensions",
        )


def _encode(name: str, vectors: Array, *, is_base64: bool) -> HttpResponse:
    rows = np.ascontiguousarray(vectors.reshape(len(vectors), -1), "<f4")
    shown = [base64.b64encode(row.tobytes()).decode("ascii") for row in rows] if is_base64 else list(rows)
    document = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(shown)
        ],
        "model": name,
        "usage": _NO_USAGE,
    }
    return HttpResponse(200, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
