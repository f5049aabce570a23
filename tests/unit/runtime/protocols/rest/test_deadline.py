"""Timeouts in HTTP headers."""

import pytest

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds, shorter


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"x-request-timeout": b"2.5"}, 2.5),
        ({b"x-request-timeout": b"0"}, None),
        ({b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.5),
        ({b"x-request-timeout": b"3", b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.5),
        ({b"x-request-timeout": b"3", b"x-envoy-expected-rq-timeout-ms": b"0"}, 3.0),
    ],
)
def test_header_timeout_is_the_shortest_that_is_given(
    headers: dict[bytes, bytes], seconds: float | None
) -> None:
    assert header_timeout_seconds(headers) == seconds


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"nan", b"inf", b"1e300", b"5, 6", b"\xff"])
def test_header_timeout_that_is_no_time_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="x-request-timeout"):
        header_timeout_seconds({b"x-request-timeout": value})


@pytest.mark.parametrize(
    ("one", "other", "result"), [(None, None, None), (1.0, None, 1.0), (None, 2.0, 2.0), (3.0, 2.0, 2.0)]
)
def test_shorter_takes_none_as_no_limit(one: float | None, other: float | None, result: float | None) -> None:
    assert shorter(one, other) == result
