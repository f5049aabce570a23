"""Reads a GGUF file: its metadata, and its tensors as 32-bit floats.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Of the kinds of numbers only those are
read that the model of this example has.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

Floats = npt.NDArray[np.float32]

_MAGIC, _VERSION, _ALIGNMENT = b"GGUF", 3, 32
_TEXT, _LIST = 8, 9
# Of the numbers in the metadata; booleans are bytes.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BLOCK = 32
_Q4_1_BLOCK = np.dtype([("scale", "<f2"), ("least", "<f2"), ("halves", "u1", _BLOCK // 2)])
_Q8_0_BLOCK = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
_KINDS = {_F32: (np.dtype("<f4"), 1), _Q4_1: (_Q4_1_BLOCK, _BLOCK), _Q8_0: (_Q8_0_BLOCK, _BLOCK)}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies; `shape` as numpy has it, the last dimension is that of a row."""

    shape: tuple[int, ...]
    kind: int
    offset_bytes: int


class Gguf:
    """An open file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._at = 0
        if self._take("4s") != _MAGIC or self._take("I") != _VERSION:
            raise SystemExit(f"{path} is no GGUF of version {_VERSION}")
        tensors, entries = self._take("Q"), self._take("Q")
        self.metadata: Mapping[str, Any] = {
            self._text(): self._value(self._take("I")) for _ in range(entries)
        }
        self._tensors = {self._text(): self._tensor() for _ in range(tensors)}
        self._start = -(-self._at // _ALIGNMENT) * _ALIGNMENT

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, name: str) -> Floats:
        """One tensor."""
        tensor = self._tensors[name]
        dtype, block = _KINDS[tensor.kind]
        count = int(np.prod(tensor.shape)) // block
        blocks = np.frombuffer(self._content, dtype, count, self._start + tensor.offset_bytes)
        return _floats(blocks, tensor.kind).reshape(tensor.shape)

    def _tensor(self) -> Tensor:
        shape = tuple(self._take("Q") for _ in range(self._take("I")))
        return Tensor(shape[::-1], self._take("I"), self._take("Q"))

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            inner, count = self._take("I"), self._take("Q")
            return [self._value(inner) for _ in range(count)]
        return self._take(_FORMATS[kind])

    def _text(self) -> str:
        return str(self._take(f"{self._take('Q')}s"), "utf-8")

    def _take(self, layout: str) -> Any:
        (value,) = struct.unpack_from(f"<{layout}", self._content, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return value


def _floats(blocks: npt.NDArray[Any], kind: int) -> Floats:
    if kind == _F32:
        return np.asarray(blocks)
    scale = blocks["scale"].astype(np.float32)[:, None]
    if kind == _Q8_0:
        return np.asarray(scale * blocks["values"])
    halves = blocks["halves"]
    values = np.concatenate([halves & 15, halves >> 4], axis=1)
    return np.asarray(scale * values + blocks["least"].astype(np.float32)[:, None])
