"""`/v1/rerank`: documents by how well they answer a query.

The form is that of Jina, Cohere and vLLM. A cross-encoder's scores go through its activation, a sigmoid where
it names none; those of a graph that reads texts itself are told as it gives them; a model of vectors ranks by
the cosine.
"""

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson

from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.models.text_inputs import Activation
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.errors import FieldError
from modelservice_runtime.protocols.openai.models import read_model_name
from modelservice_runtime.protocols.openai.vectors.run import (
    find_tensor_model,
    run_texts,
    run_tokens,
    text_array,
)
from modelservice_runtime.protocols.openai.vectors.signatures import find_cross_encoder, find_encoder
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

_MAX_DOCUMENTS = 1024
_MAX_QUERY_LENGTH = 64 * 1024


class Ranking:
    """What is ranked, and how it is told."""

    def __init__(self, fields: Fields, name: str) -> None:
        fields.required("query")
        self.query = fields.text("query", max_length=_MAX_QUERY_LENGTH)
        if not self.query:
            raise fields.fail("query", "a text")
        self.documents = _read_documents(fields)
        self._name = name
        self._most = fields.whole("top_n", 1, 1 << 31) or len(self.documents)
        self._shows_documents = fields.flag("return_documents", default=True)

    def encode_scores(
        self, scores: Array, tokens: int = 0, activation: Activation = np.asarray
    ) -> HttpResponse:
        """The answer, best first; equal ones as they came.

        The order is that of the scores: what `activation` makes of large ones may be equal.
        """
        order = np.argsort(-scores.reshape(-1), kind="stable")[: self._most]
        told = activation(scores.reshape(-1))
        document = {
            "id": f"rerank-{uuid.uuid4().hex}",
            "model": self._name,
            "usage": {"total_tokens": tokens},
            "results": [self._result(int(index), float(told[index])) for index in order],
        }
        return HttpResponse(200, orjson.dumps(document))

    def encode_vectors(self, vectors: Array, tokens: int = 0) -> HttpResponse:
        """The answer by the cosine to the query's vector, which is the first."""
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        # Rounding leaves vectors that are alike with 1.0000001.
        return self.encode_scores(np.clip(units[1:] @ units[0], -1, 1), tokens)

    def _result(self, index: int, score: float) -> dict[str, Any]:
        shown = {"document": {"text": self.documents[index]}} if self._shows_documents else {}
        return {"index": index, **shown, "relevance_score": score}


def answer_rerank(table: ModelTable, fields: Fields, request: HttpRequest) -> HttpResponse | None:
    """Rank what the body holds, now or later. Raises ServingError."""
    name = read_model_name(fields)
    handle = find_tensor_model(table, name)
    request.tell({"gen_ai.operation.name": "rerank", "gen_ai.request.model": name})
    return _run(handle, Ranking(fields, name), request)


def _run(handle: ModelHandle, ranking: Ranking, request: HttpRequest) -> HttpResponse | None:
    query, documents = ranking.query or "", ranking.documents
    cross_encoder = find_cross_encoder(handle.spec)
    if cross_encoder is not None:
        inputs = {
            cross_encoder.query.name: text_array(cross_encoder.query, [query] * len(documents)),
            cross_encoder.document.name: text_array(cross_encoder.document, documents),
        }
        return run_texts(handle, request, inputs, cross_encoder.score, ranking.encode_scores)
    if handle.texts is not None:
        activation = handle.texts.told.activation
        if activation is not None:
            encode = partial(ranking.encode_scores, activation=activation)
            run_tokens(handle, request, [(query, one) for one in documents], encode)
        else:
            run_tokens(handle, request, [query, *documents], ranking.encode_vectors)
        return None
    encoder = find_encoder(handle.spec)
    if encoder is None:
        raise FieldError(
            f"model '{handle.name}' ranks no texts: that takes two inputs of texts (BYTES) and a score, one "
            "input of texts and a vector, or a tokenizer.json beside a graph of tokens",
            "model",
        )
    inputs = {encoder.text.name: text_array(encoder.text, [query, *documents])}
    return run_texts(handle, request, inputs, encoder.vector, ranking.encode_vectors)


def _read_documents(fields: Fields) -> Sequence[str]:
    fields.required("documents")
    documents = fields.items("documents", max_items=_MAX_DOCUMENTS) or []
    if not documents:
        raise fields.fail("documents", "a list of at least one text")
    return [_read_document(one, index) for index, one in enumerate(documents)]


def _read_document(document: object, index: int) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        name = f"documents[{index}]"
        raise FieldError(f"'{name}' must be a text, or an object with 'text'", name)
    return text
