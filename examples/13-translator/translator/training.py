"""How the model learns. Deterministic: the same versions and CPU give the same weights.

What makes it learn within minutes: the alignments say from the first step on where the attention should look;
the softmax compares the right pieces with a few hundred others, weighted so that they stand for all, and with
all only at the end; texts of equal length share a batch, so nothing is padded in the encoder.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from translator.alignment import Alignment, IdPair, align, join_embeddings
from translator.model import Sizes, Translator
from translator.pieces import BEGIN, PAD


@dataclass(frozen=True)
class Training:
    """The choices of one training run. They were made on the validation part."""

    seed: int = 7
    vocabulary: int = 5000
    embedding: int = 192
    hidden: int = 256
    dropout: float = 0.2
    epochs: float = 4
    batch_pieces: int = 1000
    learning_rate: float = 2.5e-3
    weight_decay: float = 1e-3
    warm_up_steps: int = 150
    least_guidance: float = 0.2  # it falls from 1 to this
    sampled_share: float = 0.8  # of the steps, in which the softmax is sampled
    samples: int = 600
    report_steps: int = 50


@dataclass(frozen=True)
class Progress:
    """What the last steps showed; losses are in nats per piece.

    Attributes:
        step, steps: How many are done, of how many.
        loss: Of the translation.
        guidance: Of the attention against the alignments.
        cpu_seconds: That training took until here.
    """

    step: int
    steps: int
    loss: float
    guidance: float
    cpu_seconds: float


def batches_by_length(pairs: Sequence[IdPair], most_pieces: int, chance: random.Random) -> list[list[int]]:
    """Return the numbers of pairs in batches, shuffled: sources of one length, targets of similar ones."""
    lengths: dict[int, list[int]] = {}
    for number, (source, _) in enumerate(pairs):
        lengths.setdefault(len(source), []).append(number)
    batches: list[list[int]] = []
    for numbers in lengths.values():
        chance.shuffle(numbers)
        # Up to two pieces more, so that the same pairs do not meet in every epoch.
        numbers.sort(key=lambda number: len(pairs[number][1]) + 2 * chance.random())
        batches.append([])
        longest = 0
        for number in numbers:
            longest = max(longest, len(pairs[number][1]))
            if batches[-1] and (len(batches[-1]) + 1) * longest > most_pieces:
                batches.append([])
                longest = len(pairs[number][1])
            batches[-1].append(number)
    chance.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Batch:
    """Pairs as tensors: source [N, time], before and target [N, steps]; PAD where a target has ended."""

    source: Tensor
    before: Tensor
    target: Tensor


def build_batch(pairs: Sequence[IdPair]) -> Batch:
    """Stack pairs whose sources are of one length."""
    targets = [torch.tensor(target) for _, target in pairs]
    target = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=PAD)
    begin = torch.full((len(pairs), 1), BEGIN)
    source = torch.tensor([source for source, _ in pairs])
    return Batch(source, torch.cat([begin, target[:, :-1]], 1), target)


class Trainer:
    """Trains one model on pairs, each text with its end."""

    def __init__(self, pairs: Sequence[IdPair], training: Training, vocabulary: int) -> None:
        torch.manual_seed(training.seed)
        torch.use_deterministic_algorithms(True)
        # Two threads wait for each other on a busy machine, and the order of sums changes the last bits.
        torch.set_num_threads(1)
        self._training = training
        self._pairs = pairs
        self._alignment: Alignment = align(self._pairs, vocabulary)
        self._written = torch.tensor(sorted({piece for _, target in self._pairs for piece in target}))
        embeddings = join_embeddings(self._alignment, vocabulary, training.embedding, training.seed)
        sizes = Sizes(vocabulary, training.embedding, training.hidden, training.dropout)
        self.model = Translator(sizes, embeddings)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=training.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=training.weight_decay,
            fused=True,
        )

    def run(self, tell: Callable[[Progress], None]) -> list[Progress]:
        """Train; tells now and then how far it has come, and returns what was told."""
        training, chance = self._training, random.Random(self._training.seed)
        in_epoch = len(batches_by_length(self._pairs, training.batch_pieces, chance))
        steps = max(1, round(in_epoch * training.epochs))
        started = time.process_time()
        told: list[Progress] = []
        losses: list[tuple[float, float]] = []
        for step, numbers in enumerate(islice(self._endless(chance), steps), start=1):
            losses.append(self._step(numbers, step / steps, step / training.warm_up_steps))
            if step % training.report_steps == 0 or step == steps:
                loss, guidance = (sum(values) / len(losses) for values in zip(*losses, strict=True))
                told.append(Progress(step, steps, loss, guidance, time.process_time() - started))
                tell(told[-1])
                losses = []
        self.model.eval()
        return told

    def _endless(self, chance: random.Random) -> Iterator[list[int]]:
        while True:
            yield from batches_by_length(self._pairs, self._training.batch_pieces, chance)

    def _step(self, numbers: Sequence[int], done: float, warm: float) -> tuple[float, float]:
        """Learn from one batch; returns the losses of translation and attention."""
        training, model = self._training, self.model
        for group in self._optimizer.param_groups:
            group["lr"] = training.learning_rate * (warm if warm < 1 else max(0.02, 1 - done))
        batch = build_batch([self._pairs[number] for number in numbers])
        source = model.read(batch.source)
        vectors, attention, _ = model.decode(source, batch.before, model.start(source))
        real = batch.target != PAD
        loss = self._loss(vectors[real], batch.target[real], sampled=done < training.sampled_share)
        guidance = -(self._guides(numbers, attention) * attention).sum() / real.sum()
        self._optimizer.zero_grad()
        total = loss + max(training.least_guidance, 1 - 2 * done) * guidance
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self._optimizer.step()
        return loss.item(), guidance.item()

    def _loss(self, vectors: Tensor, target: Tensor, *, sampled: bool) -> Tensor:
        """Return the mean cross entropy of pieces [n] for vectors [n, embedding]."""
        model = self.model
        if not sampled:
            return nn.functional.cross_entropy(model.score(vectors), target)
        present, place = torch.unique(target, return_inverse=True)
        others = self._written[~torch.isin(self._written, present)]
        drawn = others[torch.randperm(len(others))[: self._training.samples]]
        chosen = torch.cat([present, drawn])
        # Each of the drawn stands for several that were not.
        weight = torch.zeros(len(chosen))
        if len(drawn):
            weight[len(present) :] = math.log(len(others) / len(drawn))
        scores = nn.functional.linear(vectors, model.embedding.weight[chosen], model.bias[chosen] + weight)
        return nn.functional.cross_entropy(scores, place)

    def _guides(self, numbers: Sequence[int], attention: Tensor) -> Tensor:
        """Return the alignments of a batch as the attention has them, [N, steps, time]."""
        guides = torch.zeros(attention.shape)
        for row, number in enumerate(numbers):
            known = self._alignment.attention[number]
            guides[row, : len(known)] = torch.from_numpy(known)
        return guides
