"""A real Prometheus that scrapes real servers: our queries, a user's, and what it says to bad ones."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.integration.measure.conftest import BAD, FINE, Server

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.measured import Measurement, MeasureRequest
from modelservice_operator.work.measure.measurer import Measurer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = Key("mail", "spam")
INTERVAL_SECONDS = 5
OURS = ("ErrorRatio", "LatencyP50", "LatencyP95", "LatencyP99", "Saturation", "NonFiniteRatio")
# A user's query, its value where it has one, else what is told.
QUERIES: dict[str, float | str] = {
    'sum(max_over_time(up{namespace="{{namespace}}",pod=~"{{pods}}"}[5s]))': 1.0,
    "scalar(vector(7))": 7.0,
    'up{namespace="{{namespace}}"}': "2 series came",
    'up{namespace="elsewhere"}': "there is no data",
    "0 / 0": "the value is nan",
    "sum(": "parse error",
    "up[5m]": "expected a scalar",
    '"text"': "expected a scalar",
}


@pytest.fixture(scope="module")
def measured(servers: tuple[Server, Server], prometheus: str) -> Measurement:
    """One measurement of everything, while both servers are asked."""
    with asked(*servers):
        return asyncio.run(measure(prometheus))


async def measure(url: str) -> Measurement:
    woken = asyncio.Event()
    measurer = Measurer(lambda _: woken.set(), may_reach=lambda _: True)
    request = MeasureRequest(
        run="1",
        candidate="new",
        stable="old",
        interval_seconds=INTERVAL_SECONDS,
        metrics=(*((name, None) for name in OURS), *(("Prometheus", query) for query in QUERIES)),
        prometheus_url=url,
    )
    measurer.of(KEY, request, ())
    async with asyncio.timeout(60):
        await woken.wait()
    found = measurer.of(KEY, request, ())
    measurer.forget(KEY)
    await asyncio.wait([one for one in asyncio.all_tasks() if one.get_name() == "measurements of spam"])
    assert found is not None
    return found


@contextmanager
def asked(new: Server, old: Server) -> Iterator[None]:
    """Both are asked all the time; every fifth answer of the new one is an error."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            for number in range(5):
                new.look_up(BAD if number == 0 else FINE)
                old.look_up(FINE)
            stop.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_our_queries_give_numbers_of_both_revisions(measured: Measurement) -> None:
    assert measured.candidate is not None
    assert measured.stable is not None
    assert measured.candidate.requests > 0
    assert measured.stable.requests > 0
    new = [measured.candidate.values[str(place)] for place in range(len(OURS))]
    old = [measured.stable.values[str(place)] for place in range(len(OURS))]

    # Nearly a fifth: Prometheus reckons beyond its first and its last look.
    assert new[0] == pytest.approx(0.2, abs=0.1)
    assert old[0] == 0
    assert all(0 < seconds < 30 for seconds in (*new[1:3], *old[1:3]) if seconds is not None)
    assert None not in new + old
    assert 0 <= (new[3] or 0) <= 1
    assert new[4] == old[4] == 0


@pytest.mark.parametrize(("place", "expected"), list(enumerate(QUERIES.values(), start=len(OURS))))
def test_query_of_a_user_gives_one_number_or_is_told_what_came(
    measured: Measurement, place: int, expected: float | str
) -> None:
    assert measured.candidate is not None
    value, problem = measured.candidate.values[str(place)], measured.problems.get(str(place), "")

    if isinstance(expected, float):
        assert (value, problem) == (expected, "")
    else:
        assert value is None
        assert expected in problem
