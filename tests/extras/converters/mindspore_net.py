"""A network of MindSpore: a convolution, a norm, and two outputs."""

from typing import Any

from mindspore import nn


class Net(nn.Cell):
    """Classes of small pictures, and what the last layer saw."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = nn.SequentialCell(
            nn.Conv2d(1, 4, 3, pad_mode="pad", padding=1, has_bias=True), nn.BatchNorm2d(4), nn.ReLU()
        )
        self.flatten = nn.Flatten()
        self.classes = nn.Dense(4 * 8 * 8, 3)
        self.softmax = nn.Softmax(axis=1)

    def construct(self, x: Any) -> Any:
        """Return probabilities and features."""
        features = self.flatten(self.pictures(x))
        return self.softmax(self.classes(features)), features
