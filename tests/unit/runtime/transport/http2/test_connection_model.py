"""A connection without a network: whatever a client says, nothing leaks and no window is overrun."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.transport.http2 import raw_client as raw
from tests.unit.runtime.transport.http2.grpc_server_thread import SERVICES
from tests.unit.runtime.transport.http2.offline_connection import Play

PLACES = st.integers(0, 5)  # which of the open calls
MESSAGES = st.sampled_from([b"", b"hello", b"size 10", b"size 40000", b"size 150000", b"grpc"])
PATHS = st.sampled_from([*SERVICES, *["/test.Test/Echo", "/test.Test/Chat"] * 4, "/no/such"])


@st.composite
def actions(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(
        st.sampled_from(["head", "head", "data", "data", "data", "window", "window", "settings", "other"])
    )
    if kind == "head":
        return "head", draw(PATHS), draw(st.sampled_from([False, False, True]))
    if kind == "data":
        parts = b"".join([raw.prefixed(message) for message in draw(st.lists(MESSAGES, max_size=3))])
        cut = draw(st.sampled_from([0, 0, 0, 1]))
        return "data", draw(PLACES), parts[: len(parts) - cut], draw(st.sampled_from([False, False, True]))
    if kind == "window":
        return "window", draw(st.integers(-1, 5)), draw(st.sampled_from([1, 5000, 70_000]))
    if kind == "settings":
        return "settings", draw(st.sampled_from([0, 20_000, 200_000]))
    return draw(OTHERS)


OTHERS = st.sampled_from(
    [
        *[("reset", 0), ("ping",), ("pause",), ("resume",), ("timers",), ("sweep", 1.0)] * 4,
        ("sweep", 50.0),
        ("goaway",),
        ("leave",),
        ("garbage",),
    ]
)


@given(st.lists(actions(), min_size=20, max_size=60))
@settings(max_examples=100)
def test_whatever_a_client_says_nothing_leaks_and_no_window_is_overrun(script: list[tuple[Any, ...]]) -> None:
    asyncio.set_event_loop(None)
    play = Play()
    for action in script:
        play.step(*action)
    play.connection.connection_lost(None)
    play.loop.run()
    assert not play.server.connections
    assert play.server.open_streams == 0
    assert play.server.buffered_bytes == 0
