"""From look to look: what is written, what is told, and what happens where writes fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.autoscaler.objects import make_answer, make_endpoint, make_service, make_slice

from modelservice_autoscaler.algorithm.decision import Decision
from modelservice_autoscaler.algorithm.state import EMPTY, State
from modelservice_autoscaler.deciding import follower as follower_module
from modelservice_autoscaler.deciding.follower import Follower
from modelservice_autoscaler.deciding.followers import Followers
from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_autoscaler.looking.connection import PodConnection
from modelservice_autoscaler.looking.sight import Sight
from modelservice_autoscaler.watching.endpoints import Endpoints
from modelservice_autoscaler.watching.services import Key, Services
from modelservice_autoscaler.writing.writer import Refusal
from modelservice_operator.facts.errors import LeadershipLostError

SPAM = Key("mail", "spam")


class Writer:
    """Notes what is written; `answers` are taken one after the other, then every write succeeds."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.answers: list[bool | Exception | None] = []
        self.refusal: Refusal | None = None
        self.scales: list[int] = []
        self.reports: list[dict[str, Any]] = []
        self.has_room_to_tell = True
        self._version = 100

    async def scale(self, service, replicas):
        self.scales.append(replicas)
        if self.refusal is not None:
            return self.refusal
        return self._answer(service, replicas)

    async def tell(self, service, report):
        self.reports.append(report)
        return self._answer(service, None)

    def _answer(self, service, replicas):
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self._version += 1
            self.services.on_written(service, str(self._version), replicas=replicas)
        return answer


class Pods:
    def connect(self, _address):
        return PodConnection("127.0.0.1", 1)

    async def ask(self, _connection):
        return parse_answer(make_answer())


class Rig:
    """A follower of one service by a clock and an algorithm that the test sets."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        self.desired: list[int] = []
        self.limit: str | None = None
        self.missing: str | None = None
        self.states: list[object] = []
        self.services = Services()
        self.services.on_object(None, make_service())
        endpoints = Endpoints()
        endpoints.on_object(None, make_slice(make_endpoint("a", "10.0.0.1")))
        self.writer = Writer(self.services)
        self.sight = Sight(
            services=self.services,
            endpoints=endpoints,
            pods=Pods(),  # type: ignore[arg-type]
            clock=lambda: self.now,
        )
        self.follower = Follower(SPAM, self.sight, self.writer)  # type: ignore[arg-type]
        monkeypatch.setattr(follower_module, "decide", self.decide)

    def decide(self, _spec, look, state, _now):
        self.states.append(state)
        desired = self.desired.pop(0) if self.desired else look.replicas
        return Decision(look.replicas, desired, f"-> {desired}", self.limit, self.missing, (), EMPTY)

    async def turn(self, seconds: float = 1.0) -> None:
        self.now += seconds
        service = self.services.get(SPAM)
        assert service is not None
        await self.follower.turn(service)


@pytest.fixture
def rig(monkeypatch) -> Rig:
    return Rig(monkeypatch)


async def test_decision_is_written_once_and_told_once(rig):
    rig.desired = [4]
    await rig.turn()
    assert rig.writer.scales == [4]
    assert [(one["replicas"], one["desired"], one["message"]) for one in rig.writer.reports] == [
        (2, 4, "-> 4")
    ]
    for _ in range(60):
        await rig.turn()
    assert (len(rig.writer.scales), len(rig.writer.reports)) == (1, 1)


async def test_decision_that_an_earlier_replica_told_is_not_told_again(rig):
    rig.limit = "MaxReplicas"
    rig.services.on_object("MODIFIED", make_service(version=2, told={"limit": "MaxReplicas", "message": "x"}))
    for _ in range(60):
        await rig.turn()
    assert rig.writer.reports == []


async def test_service_that_was_never_decided_on_is_told_of_once(rig):
    for _ in range(4):
        await rig.turn()
    assert rig.writer.reports == []
    for _ in range(4):
        await rig.turn()
    assert len(rig.writer.reports) == 1
    for _ in range(60):
        await rig.turn()
    assert len(rig.writer.reports) == 1
    assert rig.writer.scales == []


async def test_after_a_conflict_it_decides_anew_at_the_next_look(rig):
    rig.desired, rig.writer.answers = [4, 5], [False]
    await rig.turn()
    assert rig.writer.reports == []
    await rig.turn()
    assert rig.writer.scales == [4, 5]
    assert [one["desired"] for one in rig.writer.reports] == [5]


async def test_refused_write_is_tried_again_ever_more_seldom(rig):
    rig.desired, rig.writer.answers = [4] * 400, [None] * 400
    for _ in range(300):
        await rig.turn()
    # Pauses of half a second to a second, one to two, two to four, up to a minute.
    assert 8 <= len(rig.writer.scales) <= 20
    rig.writer.answers = []
    for _ in range(61):
        await rig.turn()
    assert len(rig.writer.reports) == 1


async def test_refusal_that_lasts_is_told_once_with_the_sentence_of_the_api_server(rig):
    rig.desired, rig.writer.refusal = [4] * 400, Refusal("at most 3 pods, got 4")
    for _ in range(300):
        await rig.turn()
    assert 8 <= len(rig.writer.scales) <= 20, "telling does not shorten the pauses"
    (report,) = rig.writer.reports
    assert (report["replicas"], report["desired"], report["message"]) == (2, 2, "-> 4")
    assert report["missing"] == "leave to write /scale: at most 3 pods, got 4"
    rig.writer.refusal = None
    for _ in range(61):
        await rig.turn()
    assert [(one["desired"], one["missing"]) for one in rig.writer.reports[1:]] == [(4, None)]


async def test_refusal_of_what_is_wanted_no_more_is_taken_back(rig):
    rig.desired, rig.writer.refusal = [4] * 60, Refusal("at most 3 pods, got 4")
    for _ in range(60):
        await rig.turn()
    assert len(rig.writer.reports) == 1
    for _ in range(90):
        await rig.turn()
    assert [one["missing"] for one in rig.writer.reports[1:]] == [None]


async def test_decision_that_could_not_be_told_is_told_later(rig):
    rig.desired, rig.writer.answers = [4], [True, None]
    await rig.turn()
    assert len(rig.writer.reports) == 1
    await rig.turn(2.0)
    assert [one["desired"] for one in rig.writer.reports] == [4, 4]
    assert rig.writer.scales == [4]


async def test_what_finds_no_room_is_told_after_another_look(rig):
    rig.desired, rig.writer.has_room_to_tell = [4], False
    await rig.turn()
    assert (rig.writer.scales, rig.writer.reports) == ([4], [])
    rig.writer.has_room_to_tell = True
    await rig.turn()
    assert [one["desired"] for one in rig.writer.reports] == [4]


async def test_missing_data_is_told_when_it_lasts_and_taken_back_when_it_is_there_again(rig):
    rig.desired = [4]
    await rig.turn()
    for turn in range(40):
        rig.missing = "1 of 2 pods do not answer" if turn % 3 == 0 else None
        await rig.turn()
    assert len(rig.writer.reports) == 1
    rig.missing = "1 of 2 pods do not answer"
    for _ in range(10):
        await rig.turn()
    assert [one["missing"] for one in rig.writer.reports] == [None, rig.missing]
    rig.missing = None
    for _ in range(30):
        await rig.turn()
    assert len(rig.writer.reports) == 3
    assert rig.writer.reports[-1]["missing"] is None


async def test_what_changes_all_the_time_is_told_a_few_times_a_minute(rig):
    rig.desired = [4]
    await rig.turn()
    for turn in range(60):
        rig.missing = f"{turn} of 99 pods do not answer"
        await rig.turn()
    assert len(rig.writer.reports) <= 6


async def test_error_of_our_own_pauses_this_service_and_forgets_what_it_knew(rig, caplog, monkeypatch):
    state = State()
    decisions = iter([ZeroDivisionError("poison"), Decision(2, 2, "", None, None, (), state)])

    def decide(*arguments):
        rig.states.append(arguments[2])
        decision = next(decisions)
        if isinstance(decision, Exception):
            raise decision
        return decision

    monkeypatch.setattr(follower_module, "decide", decide)
    await rig.turn()
    assert "cannot scale" in caplog.text
    await rig.turn()
    assert rig.states == [EMPTY, EMPTY]


async def test_replica_that_may_not_write_any_more_ends(rig):
    rig.desired, rig.writer.answers = [4], [LeadershipLostError("lost")]
    with pytest.raises(LeadershipLostError):
        await rig.turn()


@pytest.mark.parametrize(
    ("news", "scales"),
    [
        ({"replicas": 7}, [7]),
        ({"replicas": 0}, []),
        ({"deleting": True}, []),
        ({"engine": "HPA"}, []),
        ({"uid": "another"}, []),
    ],
    ids=str,
)
async def test_news_that_come_while_pods_are_asked_count(rig, monkeypatch, news, scales):
    async def ask(_self, _address):
        rig.services.on_object("MODIFIED", make_service(version=2, generation=2, **news))
        return parse_answer(make_answer())

    monkeypatch.setattr(Pods, "ask", ask)
    monkeypatch.setattr(
        follower_module,
        "decide",
        lambda _spec, look, _state, _now: Decision(
            look.replicas, 8, f"{look.replicas}", None, None, (), EMPTY
        ),
    )
    await rig.turn()
    assert [int(one["message"]) for one in rig.writer.reports] == scales
    assert len(rig.writer.scales) == len(scales)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(follower_module, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(follower_module, "QUIET_SECONDS", 0.0)


async def test_followers_come_and_go_with_what_they_follow(rig, quick):
    followers = Followers(rig.sight, rig.writer)
    rig.services.on_object("MODIFIED", make_service())
    await settle()
    assert not rig.states, "nobody leads yet"
    running = asyncio.create_task(followers.run())
    await settle()
    assert rig.states
    rig.services.on_object("MODIFIED", make_service(version=2, replicas=0))
    await settle()
    seen = len(rig.states)
    await settle()
    assert len(rig.states) == seen
    rig.services.on_object("MODIFIED", make_service(version=3, replicas=1))
    await settle()
    assert len(rig.states) > seen
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    seen = len(rig.states)
    await settle()
    assert len(rig.states) == seen


async def test_followers_end_where_one_may_not_write_any_more(rig, quick):
    rig.desired, rig.writer.answers = [4], [LeadershipLostError("lost")]
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(Followers(rig.sight, rig.writer).run(), 120)


async def test_new_service_of_the_same_name_is_followed_without_the_memory_of_the_old_one(rig, quick):
    memory = State()
    seen = []

    def decide(_spec, look, state, _now):
        seen.append((rig.services.get(SPAM).uid, state))
        return Decision(look.replicas, look.replicas, "", None, None, (), memory)

    follower_module.decide = decide
    running = asyncio.create_task(Followers(rig.sight, rig.writer).run())
    await settle()
    rig.services.on_object("DELETED", make_service(version=2))
    rig.services.on_object("ADDED", make_service(version=3, uid="new"))
    await settle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [uid for uid, state in seen if state is EMPTY] == ["uid-spam", "new"]
    assert any(uid == "uid-spam" and state is memory for uid, state in seen)
