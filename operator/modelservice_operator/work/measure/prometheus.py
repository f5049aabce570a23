"""Measures by what a Prometheus has collected: one instant query for each number, at the end of an interval.

The address is a user's, and the operator stands where users may not: nothing but a GET is sent, nothing is
followed, addresses that lead to the operator's own machine or to a cloud's metadata are refused after they
were resolved, and of an answer only numbers and Prometheus' own error are told.
Source of the protocol: Prometheus, "HTTP API", `/api/v1/query`.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
from errno import EACCES
from ipaddress import IPv6Address, ip_address, ip_network
from string import Template
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from modelservice_operator.client.answers import read_body
from modelservice_operator.facts.measured import Window
from modelservice_operator.facts.text.redact import redact
from modelservice_operator.work.measure.kinds import KINDS, REQUESTS_PROMQL, lowest_ratio, lowest_share
from modelservice_operator.work.measure.looks import Look, Looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.facts.measured import MeasureRequest
    from modelservice_operator.work.measure.kinds import Kind

PATH = "/api/v1/query"
TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)
LARGEST_ANSWER_BYTES = 256 * 1024
LARGEST_ERROR_CHARACTERS = 200
GENERATED_NAME_CHARACTERS = 58
"""Of a ReplicaSet's name are kept in the names of its pods (`k8s.io/apiserver/pkg/storage/names`)."""
NO_DATA = (
    "there is no data: are the pods scraped, with labels `namespace` and `pod`, and at least twice in "
    "intervalSeconds?"
)
_NOT_PROMETHEUS = "what answers there is no Prometheus"
_PLACEHOLDER = re.compile(r"\{\{\s*(namespace|name|revision|pods)\s*\}\}")
_METADATA = ip_network("fd00:ec2::/32")
"""What tells Amazon's machines who they are, over IPv6; everybody else's is link-local."""
_NAT64 = ip_network("64:ff9b::/96")
"""RFC 6052: the last four bytes are an IPv4 address."""


class NoNumberError(Exception):
    """A query gave no number; the message says what came instead."""


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: Any


class _Answer(msgspec.Struct):
    status: Literal["success", "error"]
    data: _Data | None = None
    error: str = ""


class _Reading(NamedTuple):
    """What came of one metric."""

    value: float | None
    lowest: float | None = None
    """The least that it may be in the long run."""
    samples: int | None = None
    """Of how many it was made, where that is not the number of requests."""
    problem: str = ""


class PrometheusSource:
    """Windows of two revisions, one after the other."""

    def __init__(
        self, key: Key, request: MeasureRequest, session: aiohttp.ClientSession, places: asyncio.Semaphore
    ) -> None:
        self._key = key
        self._request = request
        self._session = session
        self._places = places

    async def measure(self) -> Looks:
        """Wait for one interval, then ask about it."""
        await asyncio.sleep(self._request.interval_seconds)
        revisions = [self._request.candidate, *filter(None, [self._request.stable])]
        looks = await asyncio.gather(*(self._look(revision) for revision in revisions))
        return Looks(looks[0], looks[1] if len(looks) > 1 else None)

    async def _look(self, revision: str) -> Look:
        try:
            requests = await self._ask(self._fill(REQUESTS_PROMQL, revision))
            if requests < 0:
                raise NoNumberError(f"the value is {requests:g}")
        except NoNumberError as error:
            return Look(None, f"Prometheus, requests of revision {revision}: {error}")
        found = await asyncio.gather(
            *(self._read(kind, query, revision, requests) for kind, query in self._request.metrics)
        )
        placed = {str(place): one for place, one in enumerate(found)}
        window = Window(
            requests=round(requests),
            values={place: one.value for place, one in placed.items()},
            samples={place: one.samples for place, one in placed.items() if one.samples is not None},
            lowest={place: one.lowest for place, one in placed.items() if one.lowest is not None},
        )
        return Look(window, problems={place: one.problem for place, one in placed.items() if one.problem})

    async def _read(self, kind: str, query: str | None, revision: str, requests: float) -> _Reading:
        """A metric of a revision that had so many requests."""
        try:
            if query is not None:
                return _Reading(await self._ask(fill_query(query, self._key, revision)))
            known = KINDS[kind]
            value = await self._ask(self._fill(known.promql, revision, known.share))
            if known.is_ratio:
                return _Reading(value, lowest_ratio(value, requests) if requests else None)
            if known.share is None or not requests:
                return _Reading(value)
            share = lowest_share(known.share, requests)
            lowest = await self._ask(self._fill(known.promql, revision, share))
            return _Reading(value, lowest, await self._count(known, revision))
        except NoNumberError as error:
            return _Reading(None, problem=f"Prometheus, revision {revision}: {error}")

    async def _count(self, kind: Kind, revision: str) -> int | None:
        promql = kind.samples_promql
        return None if promql is None else round(await self._ask(self._fill(promql, revision)))

    def _fill(self, promql: str, revision: str, share: float | None = None) -> str:
        return fill_template(promql, self._key, revision, self._request.interval_seconds, share)

    async def _ask(self, query: str) -> float:
        """The number that a query gives. Raises NoNumberError."""
        try:
            url = query_url(self._request.prometheus_url or "")
            async with (
                self._places,
                self._session.get(
                    url, params={"query": query}, allow_redirects=False, timeout=TIMEOUT
                ) as response,
            ):
                if 300 <= response.status < 400:
                    raise NoNumberError("it redirects: give the address to which it leads")
                raw = await read_body(response.content, LARGEST_ANSWER_BYTES)
        except TimeoutError:
            raise NoNumberError("it does not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoNumberError(f"it cannot be asked: {redact(str(error))}") from error
        return read_number(response.status, raw)


def query_url(url: str) -> str:
    """Address of the queries of a Prometheus. Raises ValueError."""
    base = urlsplit(url)
    return urlunsplit(base._replace(path=f"{base.path.rstrip('/')}{PATH}", fragment=""))


def pods_pattern(name: str, revision: str) -> str:
    """Return a regular expression of the names of a revision's pods."""
    return f"{name}-{revision}-"[:GENERATED_NAME_CHARACTERS] + ".*"


def fill_query(query: str, key: Key, revision: str) -> str:
    """Fill in what a user's query leaves open; all of it is made of letters, digits and dashes."""
    values = {
        "namespace": key.namespace,
        "name": key.name,
        "revision": revision,
        "pods": pods_pattern(key.name, revision),
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], query)


def fill_template(promql: str, key: Key, revision: str, seconds: int, share: float | None = None) -> str:
    """Fill in the pods and the interval of a query of ours, and the share of a quantile."""
    pods = f'namespace="{key.namespace}",pod=~"{pods_pattern(key.name, revision)}"'
    return Template(promql).substitute(pods=pods, interval=f"{seconds}s", share=share)


def read_number(status: int, raw: bytes) -> float:
    """The one number in an answer. Raises NoNumberError."""
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except ValueError:  # no JSON, other JSON, other bytes than UTF-8
        raise NoNumberError(f"{_NOT_PROMETHEUS}: it says {status}") from None
    if answer.status == "error" or answer.data is None:
        raise NoNumberError(redact(answer.error)[:LARGEST_ERROR_CHARACTERS] or f"it says {status}")
    value = _value_of(answer.data.result_type, answer.data.result)
    if not math.isfinite(value):
        raise NoNumberError(f"the value is {value}")
    return value


def _value_of(kind: str, result: Any) -> float:
    if kind == "vector" and isinstance(result, list):
        if not result:
            raise NoNumberError(NO_DATA)
        if len(result) > 1:
            raise NoNumberError(f"{len(result)} series came, expected one: add them up, such as by sum()")
        result = result[0].get("value") if isinstance(result[0], dict) else None
    elif kind != "scalar":
        raise NoNumberError("expected a scalar or a vector of one, as an instant query gives")
    try:
        _, text = result
        return float(text)
    except (TypeError, ValueError):
        raise NoNumberError(_NOT_PROMETHEUS) from None


def is_allowed(address: str) -> bool:
    """Whether a user may have the operator ask this address."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and (parsed.ipv4_mapped is not None or parsed in _NAT64):
        parsed = ip_address(parsed.packed[-4:])
    is_near = parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified
    return not (is_near or parsed.is_multicast or parsed in _METADATA)


def guarded_connector(may_reach: Callable[[str], bool]) -> aiohttp.TCPConnector:
    """A connector that connects to allowed addresses only, whatever names resolve to."""

    def new_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_reach(str(address[0])):
            raise PermissionError(EACCES, f"{address[0]} is an address of the operator's own machine")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(socket_factory=new_socket, use_dns_cache=False)
