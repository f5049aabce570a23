"""The directory that receives the files, and files on their way into it.

Every name is resolved relative to the opened directory and never through a link. A file appears under
its final name only when it is whole, checked and on the disk.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from modelservice_runtime.fetch.errors import disk_full, translated_os_errors

_PARTIAL_PREFIX = ".fetch-"
_READ_ONLY = 0o444  # for the server's container, whatever its umask or group
_READ_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FileDigest:
    """What a file holds: sha256 in lower-case hex, and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class StoredFile:
    """A file in the destination `directory`; its name may have folders in front."""

    directory: Path
    name: str
    digest: FileDigest

    @property
    def path(self) -> Path:
        """Where its bytes are."""
        return self.directory / self.name

    def commit(self) -> "StoredFile":
        """Itself: it has its final name already."""
        return self


class Destination:
    """An opened directory; use it with `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def __enter__(self) -> Self:
        """Open the directory, make it where it is missing, remove leftovers of a killed fetch.

        Raises:
            FetchError: `DownloadFailed` where it cannot be used.

        """
        with translated_os_errors(f"open the destination {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            for name in os.listdir(self._fd):  # noqa: PTH208 - of the opened directory, whatever its path leads to now
                if name.startswith(_PARTIAL_PREFIX):
                    os.unlink(name, dir_fd=self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the directory."""
        os.close(self._fd)

    def find(self, name: str, sha256: str) -> StoredFile | None:
        """Return the file `name` if it is a regular file with this digest and a single link."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._folder_of(name, create=False) as folder:
                fd = os.open(name.rpartition("/")[2], flags, dir_fd=folder)
        except OSError:  # absent, a link, unreadable: all mean that it has to be fetched
            return None
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
            os.close(fd)
            return None
        with os.fdopen(fd, "rb") as file:
            digest = digest_stream(file)
        return StoredFile(self.path, name, digest) if digest.sha256 == sha256 else None

    @contextmanager
    def _folder_of(self, name: str, *, create: bool) -> Iterator[int]:
        """Open the folder that `name` stands in, link by link refused; raises OSError."""
        opened = os.dup(self._fd)
        try:
            for part in name.split("/")[:-1]:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=opened)
                inner = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened
                )
                os.close(opened)
                opened = inner
            yield opened
        finally:
            os.close(opened)

    def put(self, temporary: str, name: str) -> None:
        """Give a file of the directory its final name, replacing what is there; raises OSError."""
        with self._folder_of(name, create=True) as folder:
            os.replace(temporary, name.rpartition("/")[2], src_dir_fd=self._fd, dst_dir_fd=folder)
            os.fsync(folder)

    def require_space(self, size_bytes: int, name: str) -> None:
        """Fail early where the volume cannot hold `size_bytes` more.

        Raises:
            FetchError: `DiskFull`.

        """
        volume = os.fstatvfs(self._fd)
        if volume.f_bavail * volume.f_frsize < size_bytes:
            raise disk_full(f"store {name} of {size_bytes} bytes")

    def create_partial(self, name: str) -> "PartialFile":
        """Start a file that will be called `name`: a path with `/`, without dots and links."""
        return PartialFile(self, self._fd, name)


class PartialFile:
    """A file being written under a temporary name; use it with `with`, it is removed unless committed."""

    def __init__(self, destination: Destination, directory_fd: int, name: str) -> None:
        self.name = name
        self.size_bytes = 0
        self._destination = destination
        self._directory_fd = directory_fd
        self._temporary = f"{_PARTIAL_PREFIX}{secrets.token_hex(8)}"
        self._hash = hashlib.sha256()
        self._fd = -1
        self._committed = False

    def __enter__(self) -> Self:
        """Create the temporary file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with translated_os_errors(f"create {self.name}"):
            self._fd = os.open(self._temporary, flags, 0o600, dir_fd=self._directory_fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file and remove it unless it was committed."""
        os.close(self._fd)
        if not self._committed:
            os.unlink(self._temporary, dir_fd=self._directory_fd)

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            FetchError: `DiskFull` or `DownloadFailed`.

        """
        view = memoryview(data)
        with translated_os_errors(f"write {self.name}"):
            while view:
                written = os.write(self._fd, view)
                self._hash.update(view[:written])
                self.size_bytes += written
                view = view[written:]

    def write_in_steps(self, data: bytes) -> Iterable[None]:
        """Append `data`, at once; see `write`."""
        self.write(data)
        return ()

    def restart(self) -> None:
        """Forget everything written so far."""
        with translated_os_errors(f"write {self.name}"):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def path(self) -> Path:
        """Where its bytes are until it is committed."""
        return self._destination.path / self._temporary

    @property
    def digest(self) -> FileDigest:
        """Digest of everything written so far."""
        return FileDigest(self._hash.hexdigest(), self.size_bytes)

    def commit(self) -> StoredFile:
        """Make the file durable and give it its final name, replacing what is there."""
        with translated_os_errors(f"store {self.name}"):
            os.fchmod(self._fd, _READ_ONLY)
            os.fsync(self._fd)
            self._destination.put(self._temporary, self.name)
            self._committed = True
            os.fsync(self._directory_fd)
        return StoredFile(self._destination.path, self.name, self.digest)


def digest_stream(file: BinaryIO) -> FileDigest:
    """Digest of everything that `file` still has."""
    hasher, size = hashlib.sha256(), 0
    while chunk := file.read(_READ_CHUNK_BYTES):
        hasher.update(chunk)
        size += len(chunk)
    return FileDigest(hasher.hexdigest(), size)
