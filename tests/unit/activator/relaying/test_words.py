"""What is passed on of headers, and what the activator says itself."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelservice_activator.relaying.answers import Answer
from modelservice_activator.relaying.hop_by_hop import end_to_end
from modelservice_activator.relaying.http2.budget import MOST, PER_SECOND, Budget
from modelservice_activator.relaying.http2.messages import Fields
from modelservice_activator.relaying.http2.refused import answer_messages, timeout_seconds, with_timeout

NAMES = st.sampled_from(
    [b"Host", b"Connection", b"connection", b"Keep-Alive", b"TE", b"X-One", b"x-one", b"Content-Length"]
)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([b"close", b"x-one, Keep-Alive", b"host,content-length", b""])))
)
def test_fields_for_the_other_end_pass_in_their_order_and_form(headers: list[tuple[bytes, bytes]]) -> None:
    passed = end_to_end(headers)
    named = any(value.startswith(b"x-one") for name, value in headers if name.lower() == b"connection")
    dropped = {b"connection", b"keep-alive", b"te"} | ({b"x-one"} if named else set())
    assert passed == [field for field in headers if field[0].lower() not in dropped]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"4m", 0.004), (b"5u", 5e-6), (b"6n", 6e-9),
        (b"99999999S", 99_999_999), (b"100000000S", None), (b"S", None), (b"-1S", None), (b"1", None),
        (b"", None),
    ],
)  # fmt: skip
def test_timeout_is_read_as_grpc_writes_it(value: bytes, seconds: float | None) -> None:
    assert timeout_seconds([(b"te", b"trailers"), (b"grpc-timeout", value)]) == (
        None if seconds is None else pytest.approx(seconds)
    )


@given(st.floats(-10, 1e9))
@example(0.95)
def test_what_is_left_of_a_timeout_is_readable_and_never_nothing(left: float) -> None:
    ((name, value), other) = with_timeout([(b"grpc-timeout", b"1S"), (b"a", b"b")], left)
    seconds = timeout_seconds([(name, value)])
    assert other == (b"a", b"b")
    assert seconds is not None
    # A product of decimal fractions may be one bit more.
    assert 0 < seconds <= max(left, 0.001) * (1 + 1e-12)


def test_message_for_grpc_is_percent_encoded_where_it_must_be() -> None:
    (fields,) = answer_messages(Answer(503, "50% é no\n", 3), 14, has_head=False)
    assert isinstance(fields, Fields)
    assert dict(fields.headers)[b"grpc-message"] == b"50%25 %C3%A9 no%0A"


def test_behind_a_head_there_is_no_word_left_but_grpcs() -> None:
    assert answer_messages(Answer(502, "lost"), None, has_head=True) == []
    (trailers,) = answer_messages(Answer(502, "lost"), 14, has_head=True)
    assert isinstance(trailers, Fields)
    assert not any(name.startswith(b":") for name, _ in trailers.headers)


def test_budget_fills_with_time_and_not_beyond_its_brim() -> None:
    budget = Budget(0.0)
    assert all(budget.spend(0.0) for _ in range(int(MOST)))
    assert not budget.spend(0.0)
    assert sum(budget.spend(1.0) for _ in range(1000)) == pytest.approx(PER_SECOND, abs=2)
    budget = Budget(0.0)
    assert sum(budget.spend(1e6) for _ in range(5000)) == MOST
