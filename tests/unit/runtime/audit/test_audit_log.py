"""The audit log's promise: no request is answered whose line has no place, and no line is lost silently."""

import json
import os
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.audit.line import Asked, Entrant, Line, render
from modelservice_runtime.audit.log import AuditLog
from modelservice_runtime.auth.caller import Caller
from modelservice_runtime.errors import ModelUnavailableError, OverloadedError
from modelservice_runtime.transport.client import Client, describe_certificate

LINE = Line(
    unix_ns=1_700_000_000_123_000_000,
    protocol="http",
    method="POST",
    route="/v2/models/{model}/infer",
    entrant=Entrant(Caller(api_key="alice"), Client(None, "10.0.0.7")),
    request_id="r-1",
    status=200,
    asked=Asked("spam", "3", "ab" * 32),
)
REFUSAL = replace(LINE, status=401, reason="the API key is not valid", asked=None)


class Reader:
    """The end of a pipe that somebody reads, or not yet."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._parts: list[bytes] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while part := os.read(self.read_end, 65536):
            self._parts.append(part)

    def lines(self) -> list[dict[str, Any]]:
        """All lines, once nobody writes any more."""
        os.close(self.write_end)
        assert self._thread is not None
        self._thread.join(120)
        os.close(self.read_end)
        return [json.loads(line) for line in b"".join(self._parts).splitlines()]


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_render_leaves_out_what_is_not_known() -> None:
    assert json.loads(render(LINE)) == {
        "time": "2023-11-14T22:13:20.123+00:00",
        "audit": "allowed",
        "protocol": "http",
        "method": "POST",
        "route": "/v2/models/{model}/infer",
        "model": "spam",
        "version": "3",
        "sha256": "ab" * 32,
        "status": 200,
        "api_key": "alice",
        "address": "10.0.0.7",
        "request_id": "r-1",
    }
    assert json.loads(render(REFUSAL))["audit"] == "denied"


ANYTHING = st.text(max_size=400) | st.sampled_from(
    ["\u2028" * 400, "\U0001f600" * 400, '"' * 400, "\x7f" * 400]
)


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_line_of_any_words_is_one_line_that_a_pipe_takes_as_a_whole(
    model: str, subject: str, certificate: str, request_id: str, reason: str
) -> None:
    entrant = Entrant(Caller(token_subject=subject), Client(certificate, "fd00::1"))
    line = replace(
        LINE, entrant=entrant, request_id=request_id, reason=reason, asked=Asked(model, model, None)
    )

    written = render(line)

    assert len(written) <= 4096
    assert written.count(b"\n") == 1
    assert written.isascii()
    told = json.loads(written)["token_subject"]
    assert told == subject or subject.startswith(told[: told.rindex("...")])


@pytest.mark.parametrize("fill", ["Zoë ", "x" * 500, "\U0001f600" * 100, '"' * 300, "\ud800" * 99])
def test_two_people_never_look_alike(fill: str) -> None:
    def told(subject: str) -> str:
        written = render(replace(LINE, entrant=Entrant(Caller(token_subject=subject), Client(None, "::1"))))
        name: str = json.loads(written)["token_subject"]
        return name

    long = f"https://idp.example.com/users/{fill}"
    assert told(f"{long}Adams") != told(f"{long}Brown")
    assert told(told(f"{long}Adams")) != told(f"{long}Adams") or told(f"{long}Adams") == f"{long}Adams"


def has_room(log: AuditLog) -> bool:
    try:
        log.check_room()
    except OverloadedError:
        return False
    return True


def test_reader_that_has_stopped_holds_up_answers_and_nothing_else(reader: Reader) -> None:
    log = AuditLog(reader.write_end, places=1000)
    answered = 0
    while has_room(log) and answered < 100_000:
        log.add(replace(LINE, request_id=str(answered)))
        answered += 1
    assert 1000 <= answered < 100_000
    with pytest.raises(OverloadedError, match="not written fast enough"):
        log.check_room()
    log.add(replace(LINE, request_id="last"))
    reader.start()
    log.close(120)

    # Those that were let in before add theirs all the same.
    assert [line["request_id"] for line in reader.lines()] == [
        *map(str, range(answered)),
        "last",
    ]


def test_flood_of_refusals_is_counted_and_leaves_others_their_places(reader: Reader) -> None:
    log = AuditLog(reader.write_end, places=1000)
    for _ in range(20_000):
        log.refuse(REFUSAL)
    log.check_room()
    log.add(LINE)
    reader.start()
    log.close(120)

    lines = reader.lines()
    denied = [line for line in lines if line["audit"] == "denied" and "unlisted" not in line]
    unlisted = sum(line.get("unlisted", 0) for line in lines)
    assert len(denied) + unlisted == 20_000
    assert unlisted > 0
    assert [line["audit"] for line in lines].count("allowed") == 1


def test_log_that_cannot_be_written_lets_nobody_in(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(reader.write_end)
    os.close(reader.read_end)
    log.check_room()
    log.add(LINE)
    log._thread.join(120)

    with pytest.raises(ModelUnavailableError, match="cannot be written"):
        log.check_room()
    assert "the audit log cannot be written; requests are refused" in caplog.messages
    os.close(reader.write_end)


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ({"subject": ((("organizationName", "Mail, Inc."),), (("commonName", "a"),))}, r"CN=a,O=Mail\, Inc."),
        ({"subject": ((("commonName", "a,O=admins"),),)}, r"CN=a\,O\=admins"),
        (
            {"subject": (), "subjectAltName": (("URI", "spiffe://mail/web"), ("DNS", "a"))},
            "URI:spiffe://mail/web",
        ),
        ({"subject": ()}, ""),
    ],
)
def test_certificate_is_named_by_its_subject(shown: dict[str, Any], name: str) -> None:
    assert describe_certificate(shown) == name
