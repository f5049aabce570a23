"""The torch model: embedding, one recurrent layer, and the embedding again as the output."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from translator.pieces import PAD


@dataclass(frozen=True)
class Training:
    """The choices of one training run."""

    seed: int = 7
    vocabulary: int = 2000
    width: int = 256
    dropout: float = 0.1
    epochs: float = 2
    batch_pieces: int = 1500
    learning_rate: float = 4e-3
    warm_up_steps: int = 50
    report_steps: int = 50


class Writer(nn.Module):
    """Pieces to scores of the pieces that follow."""

    def __init__(self, vocabulary: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.layer = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dropout = nn.Dropout(dropout)
        self.scale = width**0.5

    def forward(self, pieces: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read pieces, int64 [N, time]; returns scores [N, time, vocabulary] and the state [1, N, width]."""
        read, state = self.layer(self.dropout(self.embedding(pieces) * self.scale), state)
        vectors = self.output(self.dropout(read))
        return nn.functional.linear(vectors, self.embedding.weight, self.bias), state

    @torch.no_grad()
    def complete(self, prompt: Sequence[int], most: int, end: int) -> list[int]:
        """Return the pieces with the highest scores after a prompt, up to `most` of them."""
        scores, state = self(torch.tensor([prompt]))
        pieces: list[int] = []
        while len(pieces) < most:
            piece = int(scores[0, -1].argmax())
            if piece == end:
                break
            pieces.append(piece)
            scores, state = self(torch.tensor([[piece]]), state)
        return pieces


def stack(texts: Sequence[Sequence[int]]) -> Tensor:
    """Return texts as a matrix [N, time], PAD behind them."""
    rows = [torch.tensor(text) for text in texts]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def cut_batches(texts: Sequence[Sequence[int]], most_pieces: int) -> list[list[int]]:
    """Return the numbers of texts in batches of similar length."""
    batches: list[list[int]] = [[]]
    for number in sorted(range(len(texts)), key=lambda number: len(texts[number])):
        if batches[-1] and (len(batches[-1]) + 1) * len(texts[number]) > most_pieces:
            batches.append([])
        batches[-1].append(number)
    return batches


def measure_loss(model: Writer, pieces: Tensor, reduction: str = "mean") -> Tensor:
    """Return the cross entropy of all pieces but the first, in nats."""
    scores, _ = model(pieces[:, :-1])
    return nn.functional.cross_entropy(
        scores.flatten(0, 1), pieces[:, 1:].flatten(), ignore_index=PAD, reduction=reduction
    )


def fit(
    texts: Sequence[Sequence[int]], training: Training, vocabulary: int, tell: Callable[[str], None]
) -> tuple[Writer, list[float]]:
    """Train on texts, each with its begin and end; returns the model and the losses that were told."""
    torch.manual_seed(training.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    chance = random.Random(training.seed)
    model = Writer(vocabulary, training.width, training.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), fused=True)
    batches = cut_batches(texts, training.batch_pieces)
    steps = max(1, round(len(batches) * training.epochs))
    order: list[list[int]] = []
    losses: list[float] = []
    told: list[float] = []
    started = time.process_time()
    for step in range(1, steps + 1):
        if not order:
            order = chance.sample(batches, len(batches))
        for group in optimizer.param_groups:
            warm = step / training.warm_up_steps
            group["lr"] = training.learning_rate * (warm if warm < 1 else max(0.02, 1 - step / steps))
        loss = measure_loss(model, stack([texts[number] for number in order.pop()]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % training.report_steps == 0 or step == steps:
            told.append(sum(losses) / len(losses))
            spent = time.process_time() - started
            tell(f"step {step} of {steps}: loss {told[-1]:.3f}, {spent:.0f} s of CPU")
            losses = []
    return model.eval(), told
