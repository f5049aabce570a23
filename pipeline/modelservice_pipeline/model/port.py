"""What an input or output is, whoever runs the model; imports nothing heavy, for containers read it too."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Port:
    """An input or output: its name, NumPy's name of its type, and its shape; None where any size fits.

    `names` are those of the numbers of a row, of an input its features and of an output its classes, in the
    model's order; empty where nobody tells.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    names: tuple[str, ...] = field(default=(), compare=False)
