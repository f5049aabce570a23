"""What a version was loaded from: digests of its files, read while nobody waits for them.

SHA-256 takes about 0.8 s for a gigabyte where the CPU has instructions for it, and three times as long where
not: too long for the way to ready, so it is done afterwards, on a thread that leaves the CPU to requests.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The lowest priority there is; it may always be taken.
_NICE = 19


@dataclass(frozen=True, slots=True)
class ModelContent:
    """The content of a model's files.

    `sha256` is the digest of the ONNX file; None where a file changed while it was loaded, or after, so
    that nobody can tell. `external_data_sha256` is the digest of what `sha256sum` prints for all other files
    that it was loaded from, sorted by name: external data, and what else of a folder is read; None where
    there are none. `size_bytes`: of all files together.
    """

    sha256: str | None
    external_data_sha256: str | None
    size_bytes: int


class LoadedFiles:
    """The files of one version. Make it before they are loaded, so that a change in between is noticed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = _open(file)
        self._before = _identity(self._descriptor)
        self._external: list[tuple[str, int | None, object]] = []
        self._was_replaced = False

    def add_external(self, locations: Iterable[str], directory: Path) -> None:
        """Name the files of external data, as they are called within `directory`, right after the load."""
        found = _open(self._file)
        self._was_replaced = found is None or _identity(found)[:2] != self._before[:2]
        _close(found)
        for location in sorted(locations):
            descriptor = _open(directory / location)
            self._external.append((location, descriptor, _identity(descriptor)))

    def add_further(self, files: Mapping[str, Path]) -> None:
        """Name what else was read, right after that; what is not there was not read."""
        for name, path in files.items():
            descriptor = _open(path)
            if descriptor is not None:
                self._external.append((name, descriptor, _identity(descriptor)))

    def read(self) -> ModelContent:
        """Read all files; call it once."""
        digest, size_bytes = _digest(self._descriptor, self._before)
        lines = []
        is_known = digest is not None and not self._was_replaced
        for location, descriptor, before in sorted(self._external, key=lambda one: one[0]):
            external, external_bytes = _digest(descriptor, before)
            is_known = is_known and external is not None
            size_bytes += external_bytes
            lines.append(f"{external}  {location}\n")
        external_digest = hashlib.sha256("".join(lines).encode()).hexdigest() if lines and is_known else None
        return ModelContent(digest if is_known else None, external_digest, size_bytes)


def read_in_background(work: Sequence[tuple[LoadedFiles, Callable[[ModelContent], None]]]) -> None:
    """Read on one thread, which tells every content as soon as it is known; the process may end meanwhile."""

    def read() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        for files, tell in work:
            content = files.read()
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                tell(content)

    threading.Thread(target=read, name="content", daemon=True).start()


def _open(path: Path) -> int | None:
    try:
        # Of a pipe nobody waits for who writes to it: whoever loads it refuses it.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None  # whoever loads it tells why


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _identity(descriptor: int | None) -> tuple[int, ...]:
    """What changes with the file or its content."""
    if descriptor is None:
        return ()
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _digest(descriptor: int | None, before: object) -> tuple[str | None, int]:
    """The digest, None where the file cannot be read or has changed, and its size; closes the file."""
    if descriptor is None:
        return None, 0
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = os.fstat(descriptor).st_size
            return digest if _identity(descriptor) == before else None, size_bytes
    except OSError:
        return None, 0
