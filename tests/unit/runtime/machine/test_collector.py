"""The collector rests for as long as it is told, and no longer."""

import gc
from collections.abc import Iterator

import pytest

from modelservice_runtime.machine.collector import collector_paused


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_collector_paused_ends_with_what_it_is_around() -> None:
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_collector_paused_ends_with_an_error() -> None:
    with pytest.raises(ImportError), collector_paused():
        raise ImportError
    assert gc.isenabled()
