"""The torch model: embedding, bidirectional recurrent encoder, attention, recurrent decoder.

The decoder is cut in two so that whole texts are learnt in a few large products: the first layer reads what
was written, its states ask the attention, the second layer sees what the attention found. Besides, what the
attention looks at goes straight to the output through the embedding that both languages share: a translation
has a vector near to it from the start (`alignment.join_embeddings`), and a name is its own translation
(after Nguyen and Chiang 2018, Improving Lexical Choice in Neural Machine Translation).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translator.pieces import BEGIN, END

# Of the two parts of the output before training. Both have vectors of length 1 to multiply with.
_OUTPUT_SCALE, _LEXICAL_SCALE = 4.0, 8.0


@dataclass(frozen=True)
class Sizes:
    """How large the model is, and how much of it is left out at random while it learns."""

    vocabulary: int
    embedding: int = 192
    hidden: int = 256
    dropout: float = 0.2


@dataclass(frozen=True)
class Source:
    """A text as the decoder looks at it.

    Attributes:
        words: Embeddings, [N, time, embedding].
        states: Of the encoder, [N, time, hidden].
        keys: What the attention compares with, [N, time, hidden].
        summary: Of the whole text, [N, hidden].
    """

    words: Tensor
    states: Tensor
    keys: Tensor
    summary: Tensor


class Translator(nn.Module):
    """Pieces of texts of equal length to scores of the pieces of their translations."""

    def __init__(self, sizes: Sizes, embeddings: np.ndarray[Any, Any] | None = None) -> None:
        super().__init__()
        self.sizes = sizes
        width, hidden = sizes.embedding, sizes.hidden
        self.embedding = nn.Embedding(sizes.vocabulary, width)
        if embeddings is not None:
            self.embedding.weight.data.copy_(torch.from_numpy(embeddings))
        self.encoder = nn.GRU(
            width, hidden // 2, 2, bidirectional=True, batch_first=True, dropout=sizes.dropout
        )
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.word_key = nn.Linear(width, hidden, bias=False)
        self.reader = nn.GRU(width, hidden, batch_first=True)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.writer = nn.GRU(2 * hidden + width, hidden, batch_first=True)
        self.reader_start = nn.Linear(hidden, hidden)
        self.writer_start = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, width)
        self.lexical = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.lexical.weight)
        self.output_scale = nn.Parameter(torch.tensor(_OUTPUT_SCALE))
        self.lexical_scale = nn.Parameter(torch.tensor(_LEXICAL_SCALE))
        self.bias = nn.Parameter(torch.zeros(sizes.vocabulary))
        self.dropout = nn.Dropout(sizes.dropout)

    def embed(self, ids: Tensor) -> Tensor:
        """Return embeddings whose entries are of size 1, [..., embedding]."""
        return self.dropout(self.embedding(ids) * self.sizes.embedding**0.5)

    def read(self, source: Tensor) -> Source:
        """Encode texts without padding, int64 [N, time]."""
        words = self.embed(source)
        states = self.dropout(self.encoder(words)[0])
        keys = self.key(states) + self.word_key(words)
        return Source(self.embedding(source), states, keys, states.mean(1))

    def start(self, source: Source) -> tuple[Tensor, Tensor]:
        """Return the first states of the decoder, each [1, N, hidden]."""
        return (
            torch.tanh(self.reader_start(source.summary))[None],
            torch.tanh(self.writer_start(source.summary))[None],
        )

    def decode(
        self, source: Source, before: Tensor, states: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Read the pieces before, int64 [N, steps].

        Returns:
            Vectors to compare with embeddings, [N, steps, embedding]; the logarithm of the attention,
            [N, steps, time]; the next states.
        """
        written = self.embed(before)
        read, reader = self.reader(written, states[0])
        read = self.dropout(read)
        scores = self.query(read) @ source.keys.transpose(1, 2) * self.sizes.hidden**-0.5
        attention = scores.log_softmax(-1)
        weights = attention.exp()
        found = torch.cat([read, weights @ source.states, written], -1)
        output, writer = self.writer(found, states[1])
        vector = self.output_scale * torch.tanh(self.output(self.dropout(output)))
        vector = vector + self.lexical_scale * self.lexical(weights @ source.words)
        return vector, attention, (reader, writer)

    def score(self, vectors: Tensor) -> Tensor:
        """Return a score for every piece, [..., vocabulary]."""
        return nn.functional.linear(vectors, self.embedding.weight, self.bias)

    @torch.no_grad()
    def translate(self, source: Tensor, most: int) -> list[list[int]]:
        """Return the pieces with the highest scores for sources [N, time], one after another to the end."""
        encoded = self.read(source)
        states = self.start(encoded)
        piece = torch.full((len(source), 1), BEGIN)
        pieces: list[Tensor] = []
        done = torch.zeros(len(source), 1, dtype=torch.bool)
        while len(pieces) < most and not bool(done.all()):
            vectors, _, states = self.decode(encoded, piece, states)
            piece = torch.where(done, END, self.score(vectors).argmax(-1))
            pieces.append(piece)
            done |= piece == END
        rows: list[list[int]] = torch.cat(pieces, 1).tolist()
        return [row[: row.index(END)] if END in row else row for row in rows]
