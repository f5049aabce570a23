from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.transport.http2.raw_client import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    SETTINGS,
    frame,
    settings,
)

from modelservice_runtime.transport.http2.framing.errors import ConnectionFailedError
from modelservice_runtime.transport.http2.framing.reader import FrameReader
from modelservice_runtime.transport.http2.limits import Http2Limits


class Recorder(FrameReader):
    """Writes down what the reader reads; DATA of a frame is joined again."""

    def __init__(self) -> None:
        super().__init__(Http2Limits(max_frames_per_turn=3))
        self.events: list[tuple[object, ...]] = []
        self.open_data = b""

    def on_data(
        self, flags: int, stream_id: int, length: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        self.events.append(("length", stream_id, length))
        self.open_data = b""
        self.on_more_data(flags, stream_id, data, start, stop, complete=complete)

    def on_more_data(
        self, flags: int, stream_id: int, data: bytes, start: int, stop: int, *, complete: bool
    ) -> None:
        self.open_data += data[start:stop]
        if complete:
            self.events.append(("data", flags & 1, stream_id, self.open_data))

    def on_headers(self, stream_id: int, block: bytes, ended: int) -> None:
        self.events.append(("headers", stream_id, block, ended))

    def record(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.events.append((flags, stream_id, payload))

    on_priority = on_reset = on_settings = on_ping = on_goaway = on_window_update = record

    def on_unknown(self) -> None:
        self.events.append(("unknown",))

    def read(self, data: bytes) -> None:
        while not self.feed(data):
            data = b""


PAYLOADS = st.binary(max_size=60)
STREAM_IDS = st.integers(0, 7)


@st.composite
def data_frames(draw: st.DrawFn) -> tuple[bytes, list[tuple[object, ...]]]:
    payload, padding, stream_id = draw(PAYLOADS), draw(st.integers(-1, 20)), draw(STREAM_IDS)
    ended = draw(st.integers(0, 1))
    if padding < 0:
        encoded = frame(DATA, ended, stream_id, payload)
    else:
        encoded = frame(DATA, ended | PADDED, stream_id, bytes([padding]) + payload + bytes(padding))
    return encoded, [("length", stream_id, len(encoded) - 9), ("data", ended, stream_id, payload)]


@st.composite
def header_frames(draw: st.DrawFn) -> tuple[bytes, list[tuple[object, ...]]]:
    parts, stream_id = draw(st.lists(PAYLOADS, min_size=1, max_size=4)), draw(st.integers(1, 7))
    ended = draw(st.integers(0, 1))
    frames = [frame(CONTINUATION, 0, stream_id, part) for part in parts]
    frames[0] = frame(HEADERS, ended, stream_id, parts[0])
    last = frames[-1]
    frames[-1] = last[:4] + bytes([last[4] | END_HEADERS]) + last[5:]
    return b"".join(frames), [("headers", stream_id, b"".join(parts), ended)]


@st.composite
def control_frames(draw: st.DrawFn) -> tuple[bytes, list[tuple[object, ...]]]:
    kind, flags = draw(st.sampled_from([2, 3, SETTINGS, PING, 7, 8, 200])), draw(st.integers(0, 255))
    stream_id, payload = draw(STREAM_IDS), draw(PAYLOADS)
    event = ("unknown",) if kind == 200 else (flags, stream_id, payload)
    return frame(kind, flags, stream_id, payload), [event]


@given(st.data(), st.lists(st.one_of(data_frames(), header_frames(), control_frames()), max_size=8))
def test_feed_reads_the_same_frames_however_they_are_cut(
    data: st.DataObject, frames: list[tuple[bytes, list[tuple[object, ...]]]]
) -> None:
    stream = PREFACE + settings() + b"".join([encoded for encoded, _ in frames])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reader = Recorder()
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.read(stream[begin:end])
    expected: list[tuple[object, ...]] = [(0, 0, b"")]
    assert reader.events == expected + [event for _, events in frames for event in events]
    assert not reader.is_within_frame


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_feed_of_anything_raises_connection_failures_only(pieces: list[bytes]) -> None:
    reader = Recorder()
    reader.read(PREFACE + settings())
    try:
        for piece in pieces:
            reader.read(piece)
    except ConnectionFailedError:
        return
    assert len(reader._rest) <= reader.limits.max_header_block_bytes + 9


def test_feed_ends_its_turn_behind_long_header_blocks() -> None:
    reader = Recorder()
    reader.read(PREFACE + settings())
    packet = b"".join([frame(HEADERS, END_HEADERS, stream_id, bytes(1000)) for stream_id in (1, 3)])
    assert not reader.feed(packet)
    assert [event[1] for event in reader.events[1:]] == [1]
    assert not reader.feed(b"")
    assert [event[1] for event in reader.events[1:]] == [1, 3]
