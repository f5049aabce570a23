"""The trained model as one ONNX graph: a text goes in, a text comes out.

text [N] -> pieces -> embeddings -> GRU, both ways, twice -> states
a Loop: the piece before -> GRU -> attention over the states -> GRU -> scores -> the next piece, and its text
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from modelservice_pipeline.text.generate import Pieces, State, generate, greedy
from modelservice_pipeline.text.graph import FLOAT, STRING, Graph, Value
from modelservice_pipeline.text.recurrent import Gru, Weights, linear
from modelservice_pipeline.text.tokenizer import load_tokenizer
from translator.model import Translator
from translator.pieces import BEGIN, END, Vocabulary

INPUT, OUTPUT = "text", "translation"
_FAR = -1e9


class _Decoder:
    """One step of the decoder over texts that are read."""

    def __init__(self, weights: Weights, words: Value, states: Value, keys: Value, blocked: Value) -> None:
        self._weights = weights
        self._words = words
        self._states = states
        self._keys = words.graph.op("Transpose", keys, perm=[0, 2, 1])
        self._blocked = blocked
        self._reader = Gru.from_torch(weights, "reader")
        self._writer = Gru.from_torch(weights, "writer")

    def step(self, before: Value, state: State) -> tuple[Value, State]:
        """Return the scores of all pieces and the next state."""
        weights, graph = self._weights, before.graph
        embedding = graph.constant(weights["embedding.weight"])
        written = embedding.gather(before) * float(embedding_scale(weights))
        reader = self._reader.step(written, state[0])
        query = linear(reader, weights, "query").unsqueeze(1)
        scores = graph.op("MatMul", query, self._keys) * float(self._reader.hidden**-0.5)
        attention = graph.op("Softmax", scores + self._blocked, axis=-1)
        found = graph.op("MatMul", attention, self._states).squeeze(1)
        writer = self._writer.step(graph.concat(reader, found, written, axis=1), state[1])
        vector = graph.op("Tanh", linear(writer, weights, "output")) * weights["output_scale"]
        looked_at = graph.op("MatMul", attention, self._words).squeeze(1)
        vector = vector + linear(looked_at, weights, "lexical") * weights["lexical_scale"]
        return graph.op("Gemm", vector, embedding, weights["bias"], transB=1), (reader, writer)


def embedding_scale(weights: Weights) -> float:
    """Return what embeddings are multiplied with before a layer reads them."""
    return float(np.sqrt(weights["embedding.weight"].shape[1]))


def build_onnx(
    model: Translator, vocabulary: Vocabulary, tokenizer: Path, most: int, metadata: Mapping[str, str]
) -> bytes:
    """Build the graph; the same input gives the same bytes.

    Args:
        model: The trained model.
        vocabulary: Its pieces.
        tokenizer: The same as a `tokenizer.json`.
        most: How many pieces a translation may have.
        metadata: What the file says about itself.

    Returns:
        The file. Input: `text`, string [N]. Output: `translation`, string [N].
    """
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = Graph("translator")
    text = graph.input(INPUT, STRING, ["N"])
    encoded = load_tokenizer(tokenizer).encode(graph, text)
    ids, lengths = encoded.ids, encoded.lengths
    embedding = graph.constant(weights["embedding.weight"])
    words = embedding.gather(ids)
    scaled = words * embedding_scale(weights)
    states = scaled
    for layer in range(2):
        states, _ = Gru.from_torch(weights, "encoder", layer, both_ways=True).read(states, lengths)
    keys = linear(states, weights, "key") + linear(scaled, weights, "word_key")
    summary = states.sum(1) / lengths.cast(FLOAT).unsqueeze(1)
    start = tuple(
        graph.op("Tanh", linear(summary, weights, f"{name}_start")) for name in ("reader", "writer")
    )
    blocked = graph.where(encoded.mask.equals(0), _FAR, 0.0).unsqueeze(1)
    decoder = _Decoder(weights, words, states, keys, blocked)
    # A text of nothing but its end has no translation.
    allowed = graph.where(lengths > 1, most, 0)
    pieces = Pieces(vocabulary.texts, BEGIN, END)
    graph.output(OUTPUT, generate(decoder.step, start, pieces, allowed, greedy), STRING, ["N"])
    proto = graph.model()
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
