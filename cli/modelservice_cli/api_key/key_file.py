"""Lines of keys in a file of this machine."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelservice_cli.errors import CommandError


class KeyFile:
    """See `KeyStore`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def read(self) -> str | None:
        """See `KeyStore`."""
        try:
            return self._path.read_text(encoding="utf-8") if self._path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {self._path}: {_cause(error)}") from None

    def edit(self, change: Callable[[str | None], str]) -> None:
        """See `KeyStore`; who writes in the same moment loses nothing either."""
        while not self._edit(change):
            continue

    def _edit(self, change: Callable[[str | None], str]) -> bool:
        """False where somebody else has written in between."""
        before = self.read()
        text = change(before)
        try:
            path = self._path.resolve()  # a link stays one
            with _locked(path.parent):
                if self.read() != before:
                    return False
                _replace(path, text)
        except OSError as error:
            raise CommandError(f"cannot write {self._path}: {_cause(error)}") from None
        return True


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other commands out; the file itself is replaced, so a lock on it would not last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Replaced as a whole, so a server never reads half a line; whoever may read the old file may read it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if path.exists():
                _keep_access(path.stat(), file.fileno())
        written.replace(path)
    except BaseException:
        written.unlink()
        raise


def _keep_access(old: os.stat_result, descriptor: int) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8 text"
