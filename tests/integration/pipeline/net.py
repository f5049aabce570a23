"""Modules as users write them."""

from typing import Any

import torch
from torch import nn


class Tagger(nn.Module):
    """Two inputs, a recurrent layer in both directions, two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.recurrent = nn.GRU(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(15, 4))

    def forward(self, ids: Any, extra: Any) -> dict[str, Any]:
        hidden, _ = self.recurrent(self.embedding(ids))
        return {"scores": self.head(torch.cat([hidden.mean(1), extra], 1)), "hidden": hidden}


def broken() -> nn.Module:
    """Fail as code does."""
    raise ValueError("no such file")
