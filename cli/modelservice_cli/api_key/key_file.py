"""Lines of keys in a file of this machine."""

import os
from collections.abc import Callable
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
        """See `KeyStore`."""
        text = change(self.read())
        try:
            # Replaced as a whole: a server that looks at it meanwhile never reads half a line.
            written = self._path.with_name(self._path.name + ".new")
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            written.replace(self._path)
        except OSError as error:
            raise CommandError(f"cannot write {self._path}: {_cause(error)}") from None


def _cause(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8 text"
