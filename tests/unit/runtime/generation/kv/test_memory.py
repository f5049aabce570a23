"""Rows are carried alike where they are arrays, and where ONNX Runtime alone reaches them."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.runtime.generation.decoders import SESSION, contents, fill_with_rubbish

from modelservice_runtime.generation.kv.memory import Device, DeviceMemory, HostMemory, KvMemory, RowShape

SHAPE = RowShape(2, 6, 16, np.dtype(np.float16))
# More than a run carries, and no multiple of it.
PIECES = 19
MAKERS: tuple[Callable[[], KvMemory], ...] = (
    lambda: HostMemory(PIECES, 3, SHAPE),
    lambda: DeviceMemory(PIECES, 3, SHAPE, Device(), SESSION),
)


@pytest.mark.parametrize("make", MAKERS, ids=["host", "device"])
def test_copies_and_swaps_carry_rows_of_all_pieces_and_no_others(make: Callable[[], KvMemory]) -> None:
    memory = make()
    assert not any(piece.any() for piece in contents(memory))
    fill_with_rubbish(memory)
    before = contents(memory)
    memory.copy(0, 2, 4)
    for piece, was in zip(contents(memory), before, strict=True):
        np.testing.assert_array_equal(piece[2, :, :4], was[0, :, :4])
        np.testing.assert_array_equal(piece[:2], was[:2])

    before = contents(memory)
    memory.swap(0, 1, 5, 3)
    for piece, was in zip(contents(memory), before, strict=True):
        np.testing.assert_array_equal(piece[0, :, :3], was[1, :, :3])
        np.testing.assert_array_equal(piece[1, :, :5], was[0, :, :5])
        np.testing.assert_array_equal(piece[2], was[2])


@pytest.mark.parametrize("make", MAKERS, ids=["host", "device"])
def test_rows_lie_where_their_addresses_say(make: Callable[[], KvMemory]) -> None:
    memory = make()
    starts = [memory.address(piece, 0) for piece in range(PIECES)]

    assert memory.address(4, 2) == starts[4] + 2 * 2 * 6 * 16 * 2
    assert len(set(starts)) == PIECES
    assert memory.size_bytes == PIECES * 3 * 2 * 6 * 16 * 2
