"""Asking a Prometheus, and whatever else stands at the address that a user gave."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientTimeout, web

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.measured import Measurement, MeasureRequest
from modelservice_operator.facts.names import of_revision
from modelservice_operator.work.measure import prometheus
from modelservice_operator.work.measure.kinds import lowest_share
from modelservice_operator.work.measure.measurer import Measurer
from modelservice_operator.work.measure.prometheus import (
    LARGEST_ANSWER_BYTES,
    NoNumberError,
    fill_query,
    is_allowed,
    pods_pattern,
    query_url,
    read_number,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = Key("mail", "spam")
SECRET = "token=abcdefgh12345678"


def vector(*values: object) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1.5, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def scalar(value: str) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "scalar", "result": [1.5, value]}}


@pytest.mark.parametrize(
    ("answer", "number"), [(vector("0.25"), 0.25), (scalar("7"), 7.0), (vector("1e-05"), 1e-05)]
)
def test_read_number_of_a_scalar_or_a_vector_of_one(answer, number):
    assert read_number(200, json.dumps(answer).encode()) == number


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (vector(), "there is no data"),
        (vector("1", "2"), "2 series came"),
        (vector("NaN"), "the value is nan"),
        (scalar("+Inf"), "the value is inf"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "expected a scalar"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "7"]}}, "expected a scalar"),
        ({"status": "success", "data": {"resultType": "vector", "result": [5]}}, "no Prometheus"),
        ({"status": "success", "data": {"resultType": "scalar", "result": None}}, "no Prometheus"),
        ({"status": "error", "error": f"parse error {SECRET}"}, r"parse error token=\*\*\*"),
        ({"status": "error", "error": "x" * 5000}, "^x{200}$"),
        ({"status": "error"}, "it says 422"),
        ({"password": "1234"}, "^what answers there is no Prometheus: it says 422$"),
    ],
)
def test_read_number_says_what_came_instead(answer, message):
    with pytest.raises(NoNumberError, match=message):
        read_number(422, json.dumps(answer).encode())


@pytest.mark.parametrize("body", [b"", b"<html>top secret</html>", b"\xff", b"[1]", b'"root:x:0"'])
def test_read_number_tells_nothing_of_what_is_no_prometheus(body):
    with pytest.raises(NoNumberError, match=r"^what answers there is no Prometheus: it says 200$"):
        read_number(200, body)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("8.8.8.8", True),
        ("fd12::1", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("127.8.9.10", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::a01:203", True),
        ("fd00:ec2::254", False),
    ],
)
def test_is_allowed(address, expected):
    assert is_allowed(address) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://p:9090", "http://p:9090/api/v1/query"),
        ("http://p:9090/", "http://p:9090/api/v1/query"),
        ("https://p/prefix/", "https://p/prefix/api/v1/query"),
        ("http://[fd12::1]:9090/a?tenant=b", "http://[fd12::1]:9090/a/api/v1/query?tenant=b"),
    ],
)
def test_query_url(url, expected):
    assert query_url(url) == expected


def test_fill_query_fills_in_what_is_known():
    query = (
        'rate(x{namespace="{{namespace}}",app="{{ name }}",pod=~"{{pods}}",r="{{revision}}",y="{{z}}"}[1m])'
    )

    assert fill_query(query, KEY, "abc") == (
        'rate(x{namespace="mail",app="spam",pod=~"spam-abc-.*",r="abc",y="{{z}}"}[1m])'
    )


def test_pods_pattern_of_a_long_name_is_as_long_as_pods_names_are():
    name, revision = "n" * 52, "bcdfghjklm"
    replica_set = f"{of_revision(name, revision)}-7d9f8b6c5d-"
    pod = replica_set[:58] + "x2k9p"

    assert pod.startswith(pods_pattern(name, revision).removesuffix(".*"))


class Server:
    """Something that answers at /api/v1/query; counts what was asked, and keeps the queries."""

    def __init__(self) -> None:
        self.answer: Callable[[str], web.StreamResponse | dict[str, Any]] = lambda _: vector("100")
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.queries: list[str] = []
        self.others = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/api/v1/query":
            self.others += 1
            return web.json_response(vector("1"))
        await self.may_answer.wait()
        query = request.query["query"]
        self.queries.append(query)
        answer = self.answer(query)
        return web.json_response(answer) if isinstance(answer, dict) else answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def measure(
    url: str,
    *metrics: tuple[str, str | None],
    stable: str | None = None,
    may_reach: Callable[[str], bool] = lambda _: True,
) -> Measurement:
    """The first measurement of an interval that is over at once."""
    woken = asyncio.Event()
    measurer = Measurer(lambda _: woken.set(), may_reach=may_reach)
    request = MeasureRequest(
        run="1", candidate="new", stable=stable, interval_seconds=0, metrics=metrics, prometheus_url=url
    )
    measurer.of(KEY, request, ())
    async with asyncio.timeout(120):
        await woken.wait()
    found = measurer.of(KEY, request, ())
    measurer.forget(KEY)
    await asyncio.wait([one for one in asyncio.all_tasks() if one.get_name() == "measurements of spam"])
    assert found is not None
    return found


async def test_measure_asks_for_both_revisions_with_our_queries_and_the_users(server):
    numbers = {"up": "3", "abc": "0.5"}
    server.answer = lambda query: vector(
        next((number for part, number in numbers.items() if part in query), "100")
    )
    found = await measure(server.url, ("Prometheus", "up"), ("ErrorRatio", None), stable="abc")

    assert found.candidate.values == {"0": 3, "1": 100}
    assert found.candidate.requests == 100
    assert found.stable.values == {"0": 3, "1": 0.5}
    assert not found.problem
    assert any('namespace="mail",pod=~"spam-new-.*"' in query for query in server.queries)


async def test_measure_asks_for_the_lowest_value_that_so_many_requests_leave_open(server):
    lower = f"({lowest_share(0.99, 100)}, "
    server.answer = lambda query: vector("0.2" if lower in query else "0.3" if "(0.99," in query else "100")
    found = await measure(server.url, ("LatencyP99", None), ("Saturation", None), ("Prometheus", "up"))

    assert found.candidate.values == {"0": 0.3, "1": 100, "2": 100}
    assert found.candidate.lowest == {"0": 0.2}


async def test_measure_counts_the_times_of_tokens(server):
    server.answer = lambda query: vector(
        "0.3" if "quantile" in query else "30" if "first_token_seconds_count" in query else "100"
    )
    found = await measure(server.url, ("LatencyP95", None), ("TimeToFirstTokenP95", None))

    assert found.candidate.values == {"0": 0.3, "1": 0.3}
    assert found.candidate.samples == {"1": 30}
    [asked] = {query for query in server.queries if "quantile(0.95" in query and "first_token" in query}
    assert "increase(vllm:time_to_first_token_seconds_bucket{" in asked


async def test_measure_names_the_metric_that_has_no_number(server):
    server.answer = lambda query: vector() if query == "up" else vector("100")
    found = await measure(server.url, ("ErrorRatio", None), ("Prometheus", "up"))

    assert found.candidate.values == {"0": 100, "1": None}
    assert list(found.problems) == ["1"]
    assert found.problems["1"].startswith("Prometheus, revision new: there is no data")


async def test_measure_without_requests_has_no_window(server):
    server.answer = lambda _: vector()
    found = await measure(server.url, ("ErrorRatio", None), stable="old")

    assert found.candidate is None
    assert found.stable is None
    assert found.problem.startswith("Prometheus, requests of revision new: there is no data")


async def test_measure_of_fewer_requests_than_none_has_no_window(server):
    server.answer = lambda _: vector("-5")
    found = await measure(server.url, ("ErrorRatio", None))

    assert found.candidate is None
    assert found.problem == "Prometheus, requests of revision new: the value is -5"


async def test_measure_follows_no_redirect(server):
    server.answer = lambda _: web.Response(status=307, headers={"Location": f"{server.url}/secret"})
    found = await measure(server.url, ("ErrorRatio", None))

    assert "redirects" in found.problem
    assert server.others == 0


async def test_measure_reads_no_endless_answer(server):
    server.answer = lambda _: web.Response(body=b" " * (LARGEST_ANSWER_BYTES + 1))

    assert "longer than" in (await measure(server.url, ("ErrorRatio", None))).problem


async def test_measure_waits_no_longer_than_its_timeout(server, monkeypatch):
    monkeypatch.setattr(prometheus, "TIMEOUT", ClientTimeout(total=0.05))
    server.may_answer.clear()
    found = await measure(server.url, ("ErrorRatio", None))
    server.may_answer.set()

    assert "does not answer in time" in found.problem


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_measure_asks_nobody_on_the_operators_own_machine(server, host):
    found = await measure(server.url.replace("127.0.0.1", host), ("ErrorRatio", None), may_reach=is_allowed)

    assert "is an address of the operator's own machine" in found.problem
    assert server.queries == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[:::", "http://127.0.0.1:99999", "http://no-such-host.invalid"]
)
async def test_measure_address_that_leads_nowhere_is_told(url):
    assert "it cannot be asked" in (await measure(url, ("ErrorRatio", None))).problem
