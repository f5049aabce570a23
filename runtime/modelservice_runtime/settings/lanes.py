"""How a lane queues, batches and runs requests; plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """`max_batch_size` 1 means no batching; `max_delay_seconds` is how long a batch may wait to fill.

    A request is refused when `max_queue_size` wait or run already, or when it could be expected to wait for
    more than `max_queue_seconds`. `max_request_seconds` ends requests to a model that a request could
    keep busy for ever, where the client sets no shorter time itself. Requests whose run takes less than
    `inline_below_seconds` are answered where they were read; those that take less than
    `queued_inline_below_seconds` wait in the queue like others, but run on the event loop.
    """

    max_batch_size: int = 1
    max_delay_seconds: float = 0.0
    max_queue_size: int = 512
    max_queue_seconds: float = 30.0
    max_request_seconds: float = 300.0
    runner_threads: int = 1
    inline_below_seconds: float = 200e-6
    queued_inline_below_seconds: float = 0.0
