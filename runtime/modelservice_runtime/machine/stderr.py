"""Standard error that never blocks: whoever reads it may stop, and the server goes on.

A pipe whose reader has stopped is full after 64 KiB, and the next write would wait for ever: with the event
loop, or with the end of the process. Here a line is written at once where there is room. What finds none
waits, bounded, for a thread of its own; beyond that whole lines are left out, and a line in their place tells
how many.
"""

import atexit
import contextlib
import io
import os
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable

_MAX_WAITING_BYTES = 1 << 20
# At the end of the process: enough for a reader that reads, and too little to be missed by one that does not.
_END_SECONDS = 1.0
# A kernel takes so much of a line as a whole, or nothing of it (POSIX, PIPE_BUF).
_WHOLE_BYTES = 4096


class PatientStream(io.TextIOBase):
    """A text stream to `descriptor`. `describe_loss` makes a line of the number of lines that were lost.

    With `may_block` the descriptor's writes may wait, so only the thread writes.
    """

    def __init__(self, descriptor: int, describe_loss: Callable[[int], str], *, may_block: bool) -> None:
        self._descriptor = descriptor
        self._describe_loss = describe_loss
        self._may_block = may_block
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost_lines = 0
        self._is_gone = False
        self._changed = threading.Condition()
        # Now: later there may be no memory for a thread.
        threading.Thread(target=self._write_waiting, name="stderr", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the text is written in."""
        return "utf-8"

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a person may be reading."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def write(self, text: str) -> int:
        """Write now or later; never waits for the reader. Returns the length of `text`."""
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if not self._waiting and not self._may_block:
                data = data[self._write_now(data) :]
                if data:
                    self._append(data)  # the rest of a line that has begun
            else:
                self._queue(data)
        return len(text)

    def drain(self, timeout_seconds: float) -> None:
        """Wait until all is written, but not for longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_seconds)

    def _queue(self, data: bytes) -> None:
        """Let lines wait for the thread, behind the line that tells of those lost before; or lose them."""
        loss = self._describe_loss(self._lost_lines).encode() if self._lost_lines else b""
        if self._waiting_bytes + len(loss) + len(data) > _MAX_WAITING_BYTES:
            self._lost_lines += data.count(b"\n")
            return
        self._lost_lines = 0
        self._append(loss + data)

    def _append(self, data: bytes) -> None:
        if not self._is_gone:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify_all()

    def _write_now(self, data: bytes) -> int:
        """How much of `data` the kernel took; all of it where nobody is left to read."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError:
            # The reader has gone for good, and there is nobody to tell.
            self._is_gone = True
            return len(data)

    def _write_waiting(self) -> None:
        """The thread's work. The first text stays in the queue until all of it is written: others wait."""
        writable = select.poll()
        writable.register(self._descriptor, select.POLLOUT)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = memoryview(self._waiting[0])
            while data:
                writable.poll()
                data = data[self._write_now(bytes(data[:_WHOLE_BYTES])) :]
            with self._changed:
                self._waiting_bytes -= len(self._waiting.popleft())
                if self._lost_lines and not self._waiting:
                    self._queue(b"")  # no further line may come
                self._changed.notify_all()


def unblock_stderr(describe_loss: Callable[[int], str]) -> None:
    """Make `sys.stderr`, and what libraries write to standard error, independent of its reader."""
    descriptor = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
    own = _open_anew(descriptor)
    may_block = own == descriptor and not stat.S_ISREG(os.fstat(descriptor).st_mode)
    sys.stderr = PatientStream(own, describe_loss, may_block=may_block)
    atexit.register(drain_stderr)


def drain_stderr() -> None:
    """At the end of the process: give the reader a moment for the last lines."""
    if isinstance(sys.stderr, PatientStream):
        sys.stderr.drain(_END_SECONDS)


def _open_anew(descriptor: int) -> int:
    """Let writes to `descriptor` fail rather than wait, and return another one of which that is true.

    `descriptor` itself where that is not possible, or not needed. The flag belongs to the open file, which
    other processes share: a shell shall not find its terminal changed. So the same pipe or terminal is opened
    anew, and once more for the log alone: libuv takes the flag away from the standard error that it hands to
    a child. A socket cannot be opened; a regular file never waits.
    """
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)):
        return descriptor
    with contextlib.suppress(OSError):  # of another user, or without a reader
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        opened = os.open(f"/proc/self/fd/{descriptor}", flags)
        os.dup2(opened, descriptor)
        os.close(opened)
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    return descriptor
