"""The torch model and its training. Deterministic: the same versions and CPU give the same weights."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Floats = npt.NDArray[np.float32]

# Keeps the division defined for a message without any known token; also in the exported graph.
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class Training:
    """The choices of one training run. They were made on the validation part."""

    seed: int = 7
    hidden_units: int = 32
    dropout: float = 0.3
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch_size: int = 64
    epochs: int = 30
    minimum_messages: int = 2  # a token of a single training message teaches nothing


class SpamClassifier(nn.Module):
    """Counts [N, features] -> logit of spam [N]: log scale, unit length, one hidden layer."""

    def __init__(self, features: int, training: Training) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, training.hidden_units)
        self.dropout = nn.Dropout(training.dropout)
        self.output = nn.Linear(training.hidden_units, 1)

    def forward(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the logits of float32 counts [N, features] as float32 [N]."""
        scaled = torch.log(counts + 1)
        unit = scaled / (scaled.norm(dim=1, keepdim=True) + NORM_EPSILON)
        hidden = self.dropout(torch.relu(self.hidden(unit)))
        logits: torch.Tensor = self.output(hidden)
        return logits.squeeze(1)


@dataclass(frozen=True)
class Examples:
    """Features float32 [N, features] and labels float32 [N] (1 is spam)."""

    counts: torch.Tensor
    labels: torch.Tensor


def build_examples(counts: Floats, labels: npt.NDArray[np.bool_]) -> Examples:
    """Wrap numpy arrays for training."""
    return Examples(torch.from_numpy(counts), torch.from_numpy(labels.astype(np.float32)))


def _train_epoch(
    model: SpamClassifier, optimizer: torch.optim.Optimizer, train: Examples, batch_size: int
) -> None:
    model.train()
    for batch in torch.split(torch.randperm(len(train.labels)), batch_size):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(train.counts[batch]), train.labels[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _compute_loss(model: SpamClassifier, examples: Examples) -> float:
    model.eval()
    with torch.no_grad():
        logits = model(examples.counts)
        return float(nn.functional.binary_cross_entropy_with_logits(logits, examples.labels))


def fit(train: Examples, validation: Examples, training: Training) -> tuple[SpamClassifier, int]:
    """Train and return the model of the epoch with the lowest validation loss, and that epoch's number."""
    torch.manual_seed(training.seed)
    torch.use_deterministic_algorithms(True)
    # Sums are split over threads, and their order changes the last bits: one thread on every machine.
    torch.set_num_threads(1)
    model = SpamClassifier(train.counts.shape[1], training)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    best_loss, best_epoch, best_state = float("inf"), 0, model.state_dict()
    for epoch in range(1, training.epochs + 1):
        _train_epoch(model, optimizer, train, training.batch_size)
        loss = _compute_loss(model, validation)
        if loss < best_loss:
            state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            best_loss, best_epoch, best_state = loss, epoch, state
    model.load_state_dict(best_state)
    return model.eval(), best_epoch


def predict_probability(model: SpamClassifier, counts: Floats) -> Floats:
    """Return the probability of spam, float32 [N], for counts float32 [N, features]."""
    with torch.no_grad():
        probability: Floats = torch.sigmoid(model(torch.from_numpy(counts))).numpy()
    return probability
