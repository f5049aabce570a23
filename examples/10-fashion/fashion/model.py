"""A small convolutional network, and how it learns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

_BATCH = 128
_HIGHEST_RATE = 4e-3


def make_network(classes: int) -> nn.Sequential:
    """Return a network from pictures, [N, 1, 28, 28] of 0 to 1, to scores, [N, classes]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, classes),
    )  # fmt: skip


def train(
    images: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    epochs: int,
    classes: int,
    tell: Callable[[int, float], None],
) -> nn.Sequential:
    """Return a trained network.

    Args:
        images: uint8, [N, 28, 28].
        labels: Whole numbers, [N].
        epochs: How often every picture is seen, mirrored half of the times.
        classes: How many there are.
        tell: Gets the epoch, from 1, and its mean loss.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the same result on every machine, and no threads that wait for each other
    network = make_network(classes)
    steps = -(-len(images) // _BATCH) * epochs
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _HIGHEST_RATE, total_steps=steps, pct_start=0.2)
    pictures, truth = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(pictures)).split(_BATCH):
            loss = nn.functional.cross_entropy(network(_vary(pictures[rows])), truth[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        tell(epoch, total / len(pictures))
    return network.eval()


def _vary(pictures: torch.Tensor) -> torch.Tensor:
    scaled = pictures.unsqueeze(1).float() / 255
    mirrored = torch.rand(len(scaled), 1, 1, 1) < 0.5
    return torch.where(mirrored, scaled.flip(3), scaled)
