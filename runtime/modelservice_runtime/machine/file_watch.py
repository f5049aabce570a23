"""Files that are read again when they change: keys, key sets, certificates.

The files are looked at every two seconds: a Kubernetes volume swaps a symbolic link above them, which no
notification about the file itself reports. A new content that cannot be used is logged and the old one kept,
but for one that says that nothing is accepted any more: that is obeyed.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 2.0
# No key file, key set or certificate chain comes near; bounds what a wrong path costs.
_MAX_BYTES = 4 * 1024 * 1024
_REFUSED = "a file changed and cannot be used; the old one stays"


class NothingAcceptedError(InvalidSettingsError):
    """A file that was read and holds nothing: no server starts with it, and one that runs has obeyed it."""


class WatchedFiles:
    """`load` reads `paths`: once now, and again whenever `poll` sees that one of them changed.

    `load` raises InvalidSettingsError, the constructor too. `is_refused` tells that the files have changed to
    what cannot be used, so that what they were before still holds.
    """

    def __init__(self, name: str, paths: Sequence[Path], load: Callable[[], None]) -> None:
        self.name = name
        self.is_refused = False
        self._paths = paths
        self._load = load
        # Taken before reading: a change in between is seen by the next poll.
        self._seen = self._signature()
        load()

    def poll(self) -> None:
        """Load again where something changed."""
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        self.is_refused = not self._load_again()

    def _load_again(self) -> bool:
        """Whether the files could be used."""
        fields = {"file": self.name}
        try:
            self._load()
        except NothingAcceptedError as error:
            log.warning(
                "a file changed: nothing of it is accepted", extra={**fields, "error": error.sentence}
            )
        except InvalidSettingsError as error:
            log.error(_REFUSED, extra={**fields, "error": error.sentence})
            return False
        except Exception:  # the last boundary: the old one stays, and the others are looked at
            log.exception(_REFUSED, extra=fields)
            return False
        else:
            log.info("a file changed and was loaded again", extra=fields)
        return True

    def _signature(self) -> list[tuple[int, ...] | None]:
        return [_file_signature(path) for path in self._paths]


class FilePoller:
    """Polls watched files on the event loop until it is stopped.

    `refused` tells of each by its name whether it is refused (see `WatchedFiles`); `on_change` is called when
    that changes.
    """

    def __init__(
        self,
        files: Sequence[WatchedFiles],
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[dict[str, bool]], None] = lambda _refused: None,
    ) -> None:
        self._files = files
        self.refused = self._refused()
        self._on_change = on_change
        self._loop = loop
        self._timer = loop.call_later(_INTERVAL_SECONDS, self._poll)

    def stop(self) -> None:
        """Do not look any more."""
        self._timer.cancel()

    def _poll(self) -> None:
        self._timer = self._loop.call_later(_INTERVAL_SECONDS, self._poll)
        for files in self._files:
            files.poll()
        refused = self._refused()
        if refused != self.refused:
            self.refused = refused
            self._on_change(refused)

    def _refused(self) -> dict[str, bool]:
        return {files.name: files.is_refused for files in self._files}


def read_settings_file(path: Path, flag: str) -> bytes:
    """Read a small file named by `flag`. Raises InvalidSettingsError."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidSettingsError(f"{flag}: {str(path)!r} is no regular file")
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidSettingsError(f"{flag}: cannot read {str(path)!r} ({error.strerror})") from None
    if len(content) > _MAX_BYTES:
        raise InvalidSettingsError(f"{flag}: {str(path)!r} is larger than {_MAX_BYTES} bytes")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    """A pipe would wait for whoever writes into it, and everybody else for this."""
    return os.open(path, flags | os.O_NONBLOCK)


def _file_signature(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
