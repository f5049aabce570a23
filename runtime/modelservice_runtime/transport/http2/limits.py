"""What one client, and all of them together, may cost an HTTP/2 server."""

from dataclasses import dataclass

from modelservice_runtime.transport.http2.framing.frames import DEFAULT_WINDOW_BYTES


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Times are seconds. The windows are those that the server grants; RFC 9113's default is 65,535 bytes.

    `allowance` pays for frames that bring nothing forward (PING, SETTINGS, resets, crumbs of DATA, ...): a
    connection starts with `allowance_burst`, earns some with every answer, some with every second, and is
    closed with ENHANCE_YOUR_CALM when it has spent all. That covers rapid reset and every other flood.

    A message must arrive at `min_body_bytes_per_second` on average after `body_grace_seconds`.
    """

    max_connections: int = 4096
    probe_places: int = 16
    refusal_places: int = 48
    max_streams: int = 256  # of a connection, at once
    max_streams_in_all: int = 32_768
    max_frames_per_turn: int = 128  # then other connections get their turn
    max_message_bytes: int = 64 * 1024 * 1024  # before and after decompression
    max_buffered_bytes: int = 512 * 1024 * 1024  # incomplete messages and unsent answers of all clients
    max_header_block_bytes: int = 32 * 1024  # compressed
    max_header_list_bytes: int = 16 * 1024  # as RFC 9113 6.5.2 counts
    max_continuations: int = 16
    max_frame_bytes: int = 1024 * 1024
    stream_window_bytes: int = 1024 * 1024
    connection_window_bytes: int = 16 * 1024 * 1024
    unsent_high_bytes: int = 256 * 1024  # of one call: above, its requests wait
    allowance_burst: int = 4000
    allowance_per_second: int = 1000
    head_timeout_seconds: float = 10.0
    body_grace_seconds: float = 20.0
    min_body_bytes_per_second: float = 16 * 1024
    idle_timeout_seconds: float = 620.0  # without any call
    max_connection_age_seconds: float | None = 1800.0
    max_connection_age_grace_seconds: float = 300.0  # for calls that last beyond it
    stream_idle_seconds: float = 3600.0  # between two messages of a client that has not ended the call
    ping_after_seconds: float = 60.0  # of silence while calls are open
    ping_timeout_seconds: float = 20.0
    write_stall_seconds: float = 20.0  # the client reads nothing at all
    stream_stall_seconds: float = 60.0  # the client grants no window to an answer
    linger_seconds: float = 2.0
    leave_seconds: float = (
        10.0  # for a client that does not run just now to learn that it has to go elsewhere
    )
    # GOAWAY, but at the very end, waits for a moment without streams: Python's h2, and so httpx, takes it for
    # the end of those that are open.
    leaves_when_idle: bool = False
    sweep_seconds: float = 0.5

    def __post_init__(self) -> None:
        """RFC 9113 knows no way to grant less than its defaults before a client has begun to send."""
        if self.connection_window_bytes <= DEFAULT_WINDOW_BYTES:
            raise ValueError(f"connection_window_bytes must exceed {DEFAULT_WINDOW_BYTES}")
