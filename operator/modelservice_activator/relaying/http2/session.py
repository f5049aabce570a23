"""h2's connection, with the graceful end that h2 itself does not know (python-hyper/h2#1181).

To h2 a connection is over once either side has sent GOAWAY. By RFC 9113, 6.8, what has begun goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

if TYPE_CHECKING:
    from h2.events import Event
    from hyperframe.frame import Frame

MAX_STREAMS = 250
"""Requests of one client at once. Others before us say 100 to 256; gRPC's clients wait for a free one."""
MAX_HEADER_BYTES = 64 * 1024
FRAME_HEAD_BYTES = 9
LAST_STREAM = 2**31 - 1
"""In a first GOAWAY: no stream is refused yet, but no new one shall be opened."""


class Session(H2Connection):
    """One side of an HTTP/2 connection, bytes in and events out."""

    def __init__(self, *, is_client: bool) -> None:
        super().__init__(
            H2Configuration(client_side=is_client, header_encoding=None, validate_outbound_headers=False)
        )
        # They hold from the first frame on: clients may open streams before they have read them.
        self.local_settings = Settings(
            client=is_client,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )

    @property
    def is_overfull(self) -> bool:
        """Whether the peer has begun a frame, or a head, that is too large.

        h2 finds out when it has all of it, up to 16 MiB.
        """
        frame_bytes, head_bytes = self._begun()
        return frame_bytes > self.max_inbound_frame_size + FRAME_HEAD_BYTES or head_bytes > MAX_HEADER_BYTES

    @property
    def unfinished_bytes(self) -> int:
        """What is kept of a frame, and of a head, that is not complete."""
        return sum(self._begun())

    def _begun(self) -> tuple[int, int]:
        """There is no public way to ask h2 what it keeps."""
        buffer = self.incoming_buffer
        return len(buffer._data), sum(len(frame.data) for frame in buffer._headers_buffer)

    def say_goodbye(self, last_stream: int) -> bytes:
        """Return the frame that asks the peer to open no stream beyond `last_stream`; the others go on."""
        return bytes(GoAwayFrame(0, last_stream_id=last_stream).serialize())

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """Take the peer's GOAWAY for what it is: a word about streams that are still to come."""
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]
