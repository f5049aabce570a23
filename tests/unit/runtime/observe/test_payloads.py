"""Bodies in the access log: what is masked, and what is never shown."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.observe.test_observe import ask, begin_stream, make_exchange

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.observe.access_log import AccessLog
from modelservice_runtime.observe.exchange import Exchange
from modelservice_runtime.observe.http import ObservedApplication
from modelservice_runtime.observe.payloads import MASK, PayloadView
from modelservice_runtime.settings.access_log import compile_mask
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

REQUEST = {"inputs": [{"name": "iban", "data": ["CH93"]}, {"name": "age", "data": [41]}], "id": "7"}
ANSWER = {"outputs": [{"name": "score", "data": [0.25]}]}


def exchange_of(request: object = REQUEST, answer: object = ANSWER, status: int = 200) -> Exchange:
    asked, answered = (
        one if isinstance(one, bytes) else json.dumps(one).encode() for one in (request, answer)
    )
    return replace(
        make_exchange(status), request_body=asked, request_bytes=len(asked), response_body=answered,
        response_bytes=len(answered),
    )  # fmt: skip


def show(exchange: Exchange, *masks: str, max_bytes: int = 4096) -> dict[str, Any]:
    return PayloadView(max_bytes, masks).fields(exchange)


def test_bodies_are_shown_without_what_the_rules_find() -> None:
    shown = show(exchange_of(), "$.inputs[?@.name == 'iban'].data", "$.id", "$.nothing[*]")
    assert shown["request"] == {
        "inputs": [{"name": "iban", "data": MASK}, {"name": "age", "data": [41]}],
        "id": MASK,
    }
    assert shown["response"] == ANSWER


def test_a_rule_holds_for_requests_and_answers_and_for_each_thing_that_it_finds() -> None:
    shown = show(exchange_of(), "$..data")
    assert [one["data"] for one in shown["request"]["inputs"]] == [MASK, MASK]
    assert shown["response"]["outputs"][0]["data"] == MASK


@pytest.mark.parametrize("rules", [("$",), ("$.inputs", "$.id"), ("$.*",), ("$..*",), ("$.inputs", "$..*")])
def test_what_lies_below_a_masked_thing_is_gone_too(rules: tuple[str, ...]) -> None:
    assert "CH93" not in json.dumps(show(exchange_of(), *rules)["request"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1', "not JSON"),
        (b'{"inputs": []}\x00\x00\x80\x3f', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'"{\\"iban\\": 1}"', "not JSON"),  # a text whose inside no rule would find
        (b"[" * 3000 + b"]" * 3000, "not JSON"),
        (b"[" * 65 + b"]" * 65, "nested more than 64 deep"),
        (b"[" + b"1," * 5000 + b"1]", "10003 bytes, more than 8192"),
    ],
)
def test_what_no_rule_can_be_asked_about_is_left_out(body: bytes, reason: str) -> None:
    shown = show(exchange_of(body), "$..iban", max_bytes=8192)
    assert shown == {"request_left_out": reason, "response": ANSWER}


def test_the_deepest_body_that_is_shown_can_be_masked_and_written() -> None:
    shown = show(exchange_of(b"[" * 64 + b"7" + b"]" * 64), "$..*")
    assert "7" not in json.dumps(shown["request"])


def test_numbers_that_json_has_not_become_text() -> None:
    shown = show(exchange_of(b'{"a": NaN, "b": -Infinity, "c": 1e999, "d": 1.5}'))
    assert shown["request"] == {"a": "NaN", "b": "-Infinity", "c": "1e999", "d": 1.5}


def test_an_error_is_not_shown_beside_rules_because_it_may_quote_what_they_hide() -> None:
    error = exchange_of(answer={"error": "'CH93' is not a number"}, status=400)
    assert "response" not in show(error, "$..data")
    assert show(error)["response"] == {"error": "'CH93' is not a number"}


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_ask_writes_nothing_into_the_log(status: int) -> None:
    assert show(exchange_of(status=status)) == {"request_left_out": "refused"}


def test_calls_over_grpc_and_requests_without_a_body_show_nothing() -> None:
    assert show(replace(exchange_of(), protocol="grpc")) == {"request_left_out": "grpc"}
    assert show(replace(exchange_of(), method="GET")) == {}


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))  # fmt: skip  # noqa: E501
def test_every_document_is_shown_as_it_is_or_left_out(document: object) -> None:
    shown = show(exchange_of({"x": document}), max_bytes=65536)
    assert {"request", "request_left_out"} & shown.keys()
    json.loads(json.dumps(shown, allow_nan=False))


@pytest.mark.parametrize(
    "path", ["inputs", "", "$.a[", "$.a | $.b", "$[?match(@.a, '(x+)+y')]", "$[?search(@.a, 'x')]", "$.~a"]
)
def test_what_is_no_jsonpath_or_could_hold_up_the_server_is_refused(path: str) -> None:
    with pytest.raises(InvalidSettingsError, match="RFC 9535"):
        compile_mask(path)


def log_of(answer: object, max_body_bytes: int = 4096) -> list[Exchange]:
    """What an observer hears of a request that is answered so."""
    _, _, (plain,) = ask(lambda request: request.reply(answer))  # type: ignore[arg-type]
    assert plain.request_body is plain.response_body is None  # unless it is asked for
    seen: list[Exchange] = []

    def application(request: HttpRequest) -> None:
        ObservedApplication(lambda inner: inner.reply(answer), seen.append, max_body_bytes)(request)  # type: ignore[arg-type]

    ask(application)
    return seen


def test_observed_application_keeps_short_bodies_where_it_shall() -> None:
    answer = HttpResponse(200, [b"ab", memoryview(b"cd")])
    (exchange,) = log_of(answer)
    assert (exchange.request_body, exchange.response_body) == (b"secret", b"abcd")
    assert "secret" not in repr(exchange)
    (exchange,) = log_of(answer, max_body_bytes=5)
    assert (exchange.request_body, exchange.response_body) == (None, b"abcd")


def test_a_stream_says_that_it_was_one() -> None:
    seen: list[Exchange] = []

    def application(request: HttpRequest) -> None:
        ObservedApplication(lambda inner: begin_stream(inner).end(), seen.append, 4096)(request)

    ask(application)
    assert show(seen[0]) == {"request_left_out": "not JSON", "response_left_out": "a stream"}


def test_access_log_has_bodies_in_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        AccessLog(1.0, PayloadView(4096, ["$..data"]))(exchange_of())
    (record,) = caplog.records
    assert vars(record)["request"]["id"] == "7"
    assert vars(record)["response"] == {"outputs": [{"name": "score", "data": MASK}]}
