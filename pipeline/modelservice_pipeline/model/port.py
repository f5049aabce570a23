"""What an input or output is, whoever runs the model; imports nothing heavy, for containers read it too."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output: its name, NumPy's name of its type, and its shape; None where any size fits."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
