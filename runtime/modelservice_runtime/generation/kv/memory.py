"""Where keys and values lie: one piece of memory for the keys of a layer and one for its values, rows in it.

Runs are bound to it by address. On the CPU the pieces are arrays. On a device only ONNX Runtime reaches them:
its arena gives them, and rows are carried by a graph of Identity nodes that is bound by address too. That
carries whole rows, for a row's first places are no one piece: each of its heads has its own.

Facts about ONNX Runtime this module relies on (1.31, checked with its CPU provider): Identity copies to the
memory its output is bound to; an output without such memory gets its own, never the input's. The allocator
behind `OrtValue.ortvalue_from_shape_and_type` takes powers of two of a GPU's memory, which a session's arena
does not where it is told so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from modelservice_runtime.onnx.graph.wire import field
from modelservice_runtime.onnx.session import FATAL, create_session
from modelservice_runtime.settings.sessions import ArenaExtendStrategy, SessionSettings

Bytes: TypeAlias = npt.NDArray[np.uint8]

_HOST = ("cpu", 0)
# Pieces that one run carries: a run costs as much as some of them, and swaps hold them twice meanwhile.
_CARRIED = 16


@dataclass(frozen=True, slots=True)
class Device:
    """Whose memory it is, in ONNX Runtime's words."""

    kind: str = "cpu"
    number: int = 0

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU of NVIDIA."""
        return self.kind == "cuda"


@dataclass(frozen=True, slots=True)
class RowShape:
    """Of one row in one piece: (heads, places, head size), and the kind of its numbers."""

    heads: int
    places: int
    head_size: int
    kind: np.dtype[np.generic]

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """As the graph has them, behind the number of rows."""
        return self.heads, self.places, self.head_size

    @property
    def size_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.dimensions) * self.kind.itemsize


class KvMemory(Protocol):
    """Pieces of as many rows as there are slots. One thread."""

    @property
    def device(self) -> Device:
        """Where it is."""

    @property
    def shape(self) -> RowShape:
        """Of each row."""

    @property
    def slots(self) -> int:
        """Rows in each piece."""

    @property
    def size_bytes(self) -> int:
        """Of all pieces."""

    def address(self, piece: int, slot: int) -> int:
        """Where a row begins; the next slot's follows it."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Give a slot at least the first `length` places of another. Raises one of ONNX Runtime's errors."""

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        """Exchange at least so many places of two slots. Raises one of ONNX Runtime's errors."""


class HostMemory:
    """See `KvMemory`: arrays, of which rows are carried as far as they are filled."""

    device = Device()

    def __init__(self, pieces: int, slots: int, shape: RowShape) -> None:
        self.shape, self.slots = shape, slots
        # Filled, so that the memory is there before it is promised to anybody.
        self.arrays = [np.full((slots, *shape.dimensions), 0, shape.kind) for _ in range(pieces)]
        self.size_bytes = pieces * slots * shape.size_bytes

    def address(self, piece: int, slot: int) -> int:
        """See `KvMemory.address`."""
        return int(self.arrays[piece].ctypes.data) + slot * self.shape.size_bytes

    def copy(self, source: int, target: int, length: int) -> None:
        """See `KvMemory.copy`."""
        for array in self.arrays:
            array[target, :, :length] = array[source, :, :length]

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:
        """See `KvMemory.swap`."""
        for array in self.arrays:
            kept = array[one, :, :one_length].copy()
            array[one, :, :other_length] = array[other, :, :other_length]
            array[other, :, :one_length] = kept


class DeviceMemory:
    """See `KvMemory`: memory of ONNX Runtime's, which holds zeros at first."""

    def __init__(
        self, pieces: int, slots: int, shape: RowShape, device: Device, settings: SessionSettings
    ) -> None:
        """`settings` name the provider that the device belongs to.

        Raises StartupError, and one of ONNX Runtime's errors where the device has too little memory.
        """
        self.shape, self.slots, self.device = shape, slots, device
        self.size_bytes = pieces * slots * shape.size_bytes
        self._carrier = _Carrier(device, settings)
        zeros = np.zeros(slots * shape.size_bytes, np.uint8)
        # One after the other: making one takes room for two, which is left for swaps.
        self.values = [self._carrier.bring(zeros) for _ in range(pieces)]
        self._starts = [int(value.data_ptr()) for value in self.values]

    def address(self, piece: int, slot: int) -> int:
        """See `KvMemory.address`."""
        return self._starts[piece] + slot * self.shape.size_bytes

    def copy(self, source: int, target: int, length: int) -> None:  # noqa: ARG002 - rows are carried whole
        """See `KvMemory.copy`."""
        for group in self._groups():
            self._carrier.carry(self._rows(group, source), self._rows(group, target), self.shape.size_bytes)

    def swap(self, one: int, other: int, one_length: int, other_length: int) -> None:  # noqa: ARG002
        """See `KvMemory.swap`."""
        size_bytes = self.shape.size_bytes
        for group in self._groups():
            first, second = self._rows(group, one), self._rows(group, other)
            kept = self._carrier.carry(first, None, size_bytes)
            self._carrier.carry(second, first, size_bytes)
            self._carrier.carry([int(value.data_ptr()) for value in kept], second, size_bytes)

    def _groups(self) -> list[range]:
        """All pieces, by as many as one run carries."""
        pieces = range(len(self.values))
        return [pieces[first : first + _CARRIED] for first in range(0, len(pieces), _CARRIED)]

    def _rows(self, pieces: range, slot: int) -> list[int]:
        return [self.address(piece, slot) for piece in pieces]


class _Carrier:
    """Copies bytes to a device and on it, several pieces in a run."""

    def __init__(self, device: Device, settings: SessionSettings) -> None:
        cuda = replace(
            settings.cuda,
            arena_extend_strategy=ArenaExtendStrategy.SAME_AS_REQUESTED,
            memory_limit_bytes=None,  # what it has to give is planned, and asked for once
            graphs=False,
        )
        self._device = device.kind, device.number
        self._session = create_session(_identities(_CARRIED), replace(settings, cuda=cuda))
        self._options = ort.RunOptions()
        self._options.log_severity_level = FATAL
        self._nothing = np.zeros(1, np.uint8)

    def bring(self, content: Bytes) -> ort.OrtValue:
        """Memory of the device that holds what the array holds."""
        return self._run([(*_HOST, content.ctypes.data)], None, content.nbytes)[0]

    def carry(
        self, sources: Sequence[int], targets: Sequence[int] | None, size_bytes: int
    ) -> list[ort.OrtValue]:
        """Copy on the device, at most `_CARRIED` pieces; to memory of their own without `targets`."""
        return self._run([(*self._device, source) for source in sources], targets, size_bytes)

    def _run(
        self, sources: Sequence[tuple[str, int, int]], targets: Sequence[int] | None, size_bytes: int
    ) -> list[ort.OrtValue]:
        binding = self._session.io_binding()
        for index in range(_CARRIED):
            name, shape = f"y{index}", (size_bytes,)
            if index < len(sources):
                binding.bind_input(f"x{index}", *sources[index][:2], np.uint8, shape, sources[index][2])
            else:
                binding.bind_cpu_input(f"x{index}", self._nothing)
            if targets is not None and index < len(targets):
                binding.bind_output(name, *self._device, np.uint8, shape, targets[index])
            else:
                binding.bind_output(name, *self._device)
        self._session.run_with_iobinding(binding, self._options)
        binding.clear_binding_inputs()  # the outputs keep the binding, and it would keep copies of inputs
        return list(binding.get_outputs()[: len(sources)])


def _identities(count: int) -> bytes:
    """An ONNX model of so many Identity nodes from x0 to y0 and so on, for bytes of any number."""
    of_bytes = field(2, *field(1, b"\x08\x02"))  # TypeProto.tensor_type.elem_type: UINT8
    graph: list[bytes | memoryview] = field(2, b"carrier")
    for index in range(count):
        x, y = f"x{index}".encode(), f"y{index}".encode()
        graph += field(1, *field(1, x), *field(2, y), *field(4, b"Identity"))
        graph += field(11, *field(1, x), *of_bytes)
        graph += field(12, *field(1, y), *of_bytes)
    return b"".join([b"\x08\x07", *field(7, *graph), *field(8, *field(1), b"\x10\x0d")])
