"""The book of RuntimeRollouts: whom they concern, and whom members obey."""

from __future__ import annotations

from typing import Any

from modelservice_operator.cache.fleet import FleetBook, fleet_key
from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import Key, WorkQueue

SPAM, HAM = Key("mail", "spam"), Key("mail", "ham")


def rollout(
    name: str, age: int, states: str = "M", *, runtime: str = "onnx", member: str = "spam", **status: Any
) -> dict[str, Any]:
    """One that has started, with as many members as there are states."""
    members = [f"mail/{member}{place or ''} 12345678 0 1" for place in range(len(states))]
    started = {"startedAt": "2026-01-01T00:00:00Z", "images": ["one", name], "members": members}
    return {
        "metadata": {
            "name": name,
            "uid": f"{name}-uid",
            "creationTimestamp": f"2026-01-01T00:00:0{age}Z",
            "resourceVersion": str(age),
        },
        "spec": {"target": {"runtime": runtime}},
        "status": {**started, "states": states, **status},
    }


def told(book: FleetBook) -> str | None:
    found = book.assignment(SPAM, "12345678-more")
    return found.rollout if found is not None else None


def test_a_member_obeys_the_newest_that_has_started_in_whatever_order_they_are_read():
    may, june = rollout("may", 1, phase="Aborted"), rollout("june", 2)
    for order in ((may, june), (june, may)):
        book = FleetBook()
        for one in order:
            book.put(one)
        assert told(book) == "june"


def test_an_older_one_tells_nothing_also_while_the_newer_one_tells_nothing_yet():
    book = FleetBook()
    book.put(rollout("may", 1))
    book.put({**rollout("june", 2), "status": {"phase": "Paused"}})
    assert told(book) == "may", "the newer one has not started"
    book.put(rollout("june", 2, "P"))
    assert told(book) is None


def test_a_member_of_runs_of_two_runtimes_obeys_the_newer_one():
    book = FleetBook()
    book.put(rollout("june", 2, runtime="other"))
    book.put(rollout("may", 1))
    assert told(book) == "june"
    book.put(rollout("june", 2, "U", runtime="other"))
    assert told(book) == "may"


def test_concerned_are_those_that_have_not_ended_with_the_members_that_they_have_now():
    book = FleetBook()
    book.put(rollout("may", 1, "U", phase="Aborted"))
    assert list(book.concerned(SPAM)) == ["may"]
    book.put(rollout("may", 1, "U", member="ham"))
    assert (list(book.concerned(SPAM)), list(book.concerned(HAM))) == ([], ["may"])
    book.put(rollout("may", 1, "U", phase="Complete", endedAt="2026-01-01T00:00:00Z"))
    assert (list(book.concerned(SPAM)), list(book.concerned(HAM))) == ([], [])


async def test_one_that_begins_wakes_those_that_have_not_ended():
    store, queue = Store(), WorkQueue()
    ingest = Ingest(store, queue)
    waiting = {**rollout("june", 3), "status": {"phase": "Pending"}}
    ended = rollout("april", 1, "U", phase="Complete", endedAt="2026-01-01T00:00:00Z")
    for one in (ended, rollout("may", 2, phase="Aborted"), waiting):
        store.put_rollout(one)
    begun = rollout("june", 4)
    ingest.on_rollout_written(begun)
    woken = {await queue.get() for _ in range(len(queue))}
    assert fleet_key("may") in woken
    assert fleet_key("april") not in woken
