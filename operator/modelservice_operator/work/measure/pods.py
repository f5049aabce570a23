"""Measures by the pods' own metrics: `GET /metrics` at the start and at the end of an interval.

What a pod counted in between is the difference; the end of one interval is the start of the next. Of many
pods some are looked at, chosen by chance and kept for as long as they are ready: differences are of the same
pods. One that came in between counts from its first look on, one that went until its last.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import aiohttp

from modelservice_operator.client.answers import read_body
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.measured import Window
from modelservice_operator.work.measure.counts import Counts, Sample, parse_page
from modelservice_operator.work.measure.kinds import KINDS, Totals
from modelservice_operator.work.measure.looks import Look, Looks
from modelservice_operator.work.pods.asking import metrics_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.facts.measured import MeasureRequest

PATH = "/metrics"
TIMEOUT = aiohttp.ClientTimeout(total=3.0, sock_connect=1.0)
"""A server whose workers are busy answers after a second."""
LARGEST_PAGE_BYTES = 4 * 2**20
MAX_PODS = 50
"""Of a revision: as many tell as much about it as all do, and a thousand pods are not asked at once."""
LOOKS = 20
"""In an interval, where a metric is how things are and not how many there were; at most one a second."""
LOOKED_AT_IN_BETWEEN = frozenset({"Saturation"})
NO_PROMETHEUS = "only Prometheus can answer its query: set spec.rollout.prometheus.url"

NO_WAY = "a NetworkPolicy has to let the operator reach its metrics port"

Pod = Mapping[str, Any]


@dataclass(eq=False)
class _Revision:
    """What its pods said so far in this interval."""

    name: str
    last: dict[str, Sample] = field(default_factory=dict)
    """By the pod's UID; also those from before the interval."""
    grown: list[Counts] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)
    failure: str = ""
    """Why some pod could not be read, if one could not."""

    def choose(self, pods: Sequence[Pod]) -> list[Pod]:
        """The pods to look at: those that were looked at before, and others up to MAX_PODS."""
        ready = {
            str(pod["metadata"]["uid"]): pod
            for pod in podlib.of_revision(pods, self.name)
            if podlib.is_ready(pod) and (pod.get("status") or {}).get("podIP")
        }
        known = [uid for uid in ready if uid in self.last]
        others = [uid for uid in ready if uid not in self.last]
        room = max(MAX_PODS - len(known), 0)
        chosen = known + random.sample(others, min(room, len(others)))
        self.last = {uid: self.last[uid] for uid in known}
        return [ready[uid] for uid in chosen]

    def take(self, uid: str, sample: Sample) -> None:
        """Count what grew since the last look."""
        before = self.last.get(uid)
        if before is not None:
            self.grown.append(sample.since(before))
        self.last[uid] = sample
        self.pending.append(sample.pending)

    def close(self, metrics: Sequence[tuple[str, str | None]]) -> Look:
        """What the interval gave; the next one begins."""
        if self.grown:
            counts = reduce(Counts.plus, self.grown)
            totals = Totals(counts=counts, pending=sum(self.pending) / len(self.pending))
            look = _read_totals(self.name, metrics, totals)
        else:
            look = Look(None, self._problem())
        self.grown, self.failure = [], ""
        self.pending = [sample.pending for sample in self.last.values()]
        return look

    def _problem(self) -> str:
        if self.failure:
            return f"no pod of revision {self.name} could be read: {self.failure}"
        if self.pending:
            return f"no pod of revision {self.name} was ready for the whole interval"
        return f"no pod of revision {self.name} is ready"


def _read_totals(revision: str, metrics: Sequence[tuple[str, str | None]], totals: Totals) -> Look:
    values: dict[str, float | None] = {}
    lowest: dict[str, float] = {}
    samples: dict[str, int] = {}
    problems = {}
    for place, (kind, _) in enumerate(metrics):
        known = KINDS.get(kind)
        values[str(place)] = value = None if known is None else known.read(totals)
        if known is not None and (count := known.samples(totals)) is not None:
            samples[str(place)] = count
        if known is None:
            problems[str(place)] = NO_PROMETHEUS
        elif value is None:
            problems[str(place)] = f"revision {revision}: {known.missing(totals)}"
        elif (least := known.lowest(totals, value)) is not None:
            lowest[str(place)] = least
    requests = round(totals.counts.requests)
    window = Window(requests=requests, values=values, samples=samples, lowest=lowest)
    return Look(window, problems=problems)


class PodSource:
    """Windows of two revisions, one after the other; `pods` gives the newest list of pods."""

    def __init__(
        self,
        request: MeasureRequest,
        pods: Callable[[], Sequence[Pod]],
        session: aiohttp.ClientSession,
        places: asyncio.Semaphore,
    ) -> None:
        self._request = request
        self._pods = pods
        self._session = session
        self._places = places
        self._candidate = _Revision(request.candidate)
        self._stable = _Revision(request.stable) if request.stable is not None else None
        self._has_begun = False

    async def measure(self) -> Looks:
        """Look for one interval, which begins where the last one ended."""
        if not self._has_begun:
            await self._look()
            self._has_begun = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self._request.interval_seconds
        is_over = False
        while not is_over:
            left = until - loop.time()
            await asyncio.sleep(min(left, self._pause_seconds()))
            is_over = loop.time() >= until
            await self._look()
        candidate = self._candidate.close(self._request.metrics)
        return Looks(
            candidate, self._stable.close(self._request.metrics) if self._stable is not None else None
        )

    def _pause_seconds(self) -> float:
        if LOOKED_AT_IN_BETWEEN.isdisjoint(kind for kind, _ in self._request.metrics):
            return float(self._request.interval_seconds)
        return max(self._request.interval_seconds / LOOKS, 1.0)

    async def _look(self) -> None:
        pods = self._pods()
        await asyncio.gather(
            *(
                self._ask(revision, pod)
                for revision in (self._candidate, self._stable)
                if revision is not None
                for pod in revision.choose(pods)
            )
        )

    async def _ask(self, revision: _Revision, pod: Pod) -> None:
        try:
            async with (
                self._places,
                self._session.get(metrics_url(pod, PATH), allow_redirects=False, timeout=TIMEOUT) as response,
            ):
                if response.status != 200:
                    raise ValueError(f"it answers {response.status}")
                raw = await read_body(response.content, LARGEST_PAGE_BYTES)
            sample = parse_page(raw.decode())
        except TimeoutError:
            revision.failure = f"{pod['metadata'].get('name')} does not answer in time; {NO_WAY}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            revision.failure = f"{pod['metadata'].get('name')}: {error}"
        else:
            revision.take(str(pod["metadata"]["uid"]), sample)
