"""The bounds of a transfer, in one place. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TransferLimits:
    """How long and how often a transfer may try.

    Attributes:
        max_attempts: failed attempts in a row before giving up; 6 spans about half a minute of backoff,
            enough for a store that restarts.
        unreachable_seconds: a fetch that has reached nobody for this long ends, so that its pod's status
            tells why; Kubernetes starts it again, after longer and longer pauses.
        backoff_base_seconds: mean of the first pause; it doubles with each failure.
        backoff_cap_seconds: longest pause that we choose ourselves.
        retry_after_cap_seconds: longest pause that a server may choose with `Retry-After`.
        connect_timeout_seconds: for name resolution, TCP and TLS of one connection.
        read_timeout_seconds: longest silence of a server.
        low_speed_bytes_per_second: an attempt slower than this over a whole window is ended.
        low_speed_window_seconds: the window for the low-speed rule.
        total_timeout_seconds: for the whole fetch; an hour carries 180 GB at 50 MB/s.
        progress_interval_seconds: longest time between two progress lines while bytes arrive.

    """

    max_attempts: int = 6
    unreachable_seconds: float = 4.0
    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 20.0
    retry_after_cap_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0
    low_speed_bytes_per_second: int = 1024
    low_speed_window_seconds: float = 30.0
    total_timeout_seconds: float = 3600.0
    progress_interval_seconds: float = 5.0


# Bytes that an attempt must have won to wipe out the failures before it: a large model over a
# poor line may need many more attempts than a server that is down.
PROGRESS_RESETS_FAILURES_BYTES = 16 * 1024 * 1024

# Answers that are read into memory: manifests (4 MiB is the registries' own limit), tokens, listings.
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024

# Files of one artifact: a model with external data has a handful.
MAX_FILES = 100

MAX_REDIRECTS = 5


class Budget:
    """Bytes that may still be stored, over all files of one fetch."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._used_bytes = 0

    @property
    def remaining_bytes(self) -> int:
        """Bytes not yet taken by a finished file."""
        return self.max_bytes - self._used_bytes

    def take(self, size_bytes: int) -> None:
        """Count a finished file."""
        self._used_bytes += size_bytes
