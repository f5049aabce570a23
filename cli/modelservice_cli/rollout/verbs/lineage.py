"""Which revision served before another one. Pure.

Numbers do not tell: a revision that comes back gets the newest number, and one that was given up has one
though it never served.
"""

from collections.abc import Iterable

from modelservice_cli.rollout.facts import Facts, Record
from modelservice_operator.facts.text.times import parse_time

_NEVER_SERVED = frozenset({"Aborted", "Superseded"})


def predecessor(facts: Facts, record: Record) -> Record | None:
    """Return the revision that was stable before this one became it, None where none is known.

    The status knows the order in which revisions served last. A revision that came back stands there once,
    at its last place, so one that was gone before this one was made is passed over.
    """
    stable = facts.record(facts.stable)
    if record.revision == facts.target and stable is not None and stable != record:
        return stable
    served = facts.served
    if served is None:
        earlier = [one for one in facts.records or () if one.number < record.number]
        return earlier[-1] if earlier else None
    before = served[: served.index(record)] if record in served else []
    still_there = [one for one in before if not _was_gone(facts, one, record)]
    return still_there[-1] if still_there else _newest(_made_before(facts, record))


def _was_gone(facts: Facts, one: Record, record: Record) -> bool:
    """Whether the status says that a revision was replaced before the other one was made."""
    outcome = facts.outcome(one.revision)
    replaced, made = parse_time(outcome.get("time")), parse_time(record.created_at)
    if outcome.get("outcome") != "Replaced" or replaced is None or made is None:
        return False
    return replaced < made


def _made_before(facts: Facts, record: Record) -> list[Record]:
    return [
        one
        for one in facts.records or ()
        if (one.created_at, one.number) < (record.created_at, record.number)
        and not facts.never_served(one)
        and facts.outcome(one.revision).get("outcome") not in _NEVER_SERVED
        and not _was_gone(facts, one, record)
    ]


def _newest(records: Iterable[Record]) -> Record | None:
    return max(records, key=lambda one: (one.created_at, one.number), default=None)
