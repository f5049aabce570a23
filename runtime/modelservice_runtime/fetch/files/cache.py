"""A directory of model files by digest, shared by many fetches: of one node, or of all that mount the volume.

Files are called `sha256-<hex>`; beside each there may be a `.lock`, and a `.partial` while it is
written. Who holds a file's lock alone may write or remove it; the kernel drops the lock of a process that
dies, and a file gets its final name only when it is whole. Digests are checked on every use, so whoever else
can write here can make a fetch slower, but not give it another model. Nothing here ever fails a fetch.
"""

import asyncio
import fcntl
import os
import re
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.fetch.files.destination import PartialFile
from modelservice_runtime.fetch.log import log

_ENTRY = re.compile(r"sha256-[0-9a-f]{64}")
_LOCK_SUFFIX = ".lock"
_PARTIAL_SUFFIX = ".partial"
# Other users' fetches share the volume: locks are for all to take, files for all to read.
_LOCK_MODE = 0o666
_FILE_MODE = 0o444
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ModelCache:
    """Where the files are, and how many bytes of them are kept; the longest unused go first."""

    directory: Path
    max_bytes: int

    @asynccontextmanager
    async def entry(self, sha256: str) -> AsyncIterator["CacheEntry | None"]:
        """The file with this digest, under its lock; None where the cache cannot be used.

        Waits for another fetch of the same file: afterwards it is there.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = await self._lock(_name(sha256))
        except OSError as error:
            _log_failure("the cache cannot be used", error)
            yield None
            return
        try:
            yield CacheEntry(self, sha256)
        finally:
            os.close(lock)

    async def _lock(self, name: str) -> int:
        waiting = False
        while (fd := _try_lock(self.directory, name)) is None:
            if not waiting:
                log("waiting for another fetch of the same file", {"file": name})
                waiting = True
            await asyncio.sleep(_POLL_SECONDS)
        return fd

    def make_room(self, size_bytes: int) -> bool:
        """Remove files, the longest unused first, until `size_bytes` more fit; False where they cannot."""
        self._remove_leftovers()
        volume = os.statvfs(self.directory)
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        used = sum(info.st_size for _, info in files)
        free = volume.f_bavail * volume.f_frsize
        for name, info in files:
            if used + size_bytes <= self.max_bytes and size_bytes <= free:
                break
            if self._remove(name):
                log("removed from the cache", {"file": name, "bytes": info.st_size})
                used -= info.st_size
                free += info.st_size
        return used + size_bytes <= self.max_bytes and size_bytes <= free

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in os.scandir(self.directory):
            if _ENTRY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False)

    def _remove(self, name: str) -> bool:
        """Remove a file and its lock, unless somebody uses it."""
        fd = _try_lock(self.directory, name)
        if fd is None:
            return False
        try:
            for suffix in ("", _PARTIAL_SUFFIX, _LOCK_SUFFIX):
                (self.directory / (name + suffix)).unlink(missing_ok=True)
        finally:
            os.close(fd)
        return True

    def _remove_leftovers(self) -> None:
        """Partial files of fetches that died."""
        for path in self.directory.glob(f"sha256-*{_PARTIAL_SUFFIX}"):
            name = path.name.removesuffix(_PARTIAL_SUFFIX)
            if _ENTRY.fullmatch(name) and not (self.directory / name).exists():
                self._remove(name)


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache, under its lock."""

    cache: ModelCache
    sha256: str

    @property
    def path(self) -> Path:
        """The file; it may be missing."""
        return self.cache.directory / _name(self.sha256)

    @property
    def size_bytes(self) -> int | None:
        """Size of the file, None where it is missing."""
        try:
            info = self.path.lstat()
        except OSError:
            return None
        return info.st_size if stat.S_ISREG(info.st_mode) else None

    async def copy_to(self, partial: PartialFile) -> bool:
        """Copy the file into `partial`; False, with nothing written, where it is missing or damaged.

        A damaged file is removed. Raises FetchError where the destination cannot take it.
        """
        with self._open() as fd:
            if fd is None:
                return False
            try:
                while chunk := os.read(fd, _CHUNK_BYTES):
                    partial.write(chunk)
                    await asyncio.sleep(0)  # a signal or a timeout may end the fetch
            except OSError as error:
                _log_failure("a file of the cache cannot be read", error)
                partial.restart()
                return False
            if partial.digest.sha256 != self.sha256:
                log("a file of the cache is damaged", {"file": self.path.name})
                with suppress(OSError):
                    self.path.unlink()
                partial.restart()
                return False
            with suppress(OSError):  # only its place among the unused suffers
                os.utime(fd)
            return True

    async def keep(self, source: Path, size_bytes: int) -> None:
        """Keep a copy of `source`, whose digest and size have been checked."""
        try:
            if not self.cache.make_room(size_bytes):
                log("too large for the cache", {"file": self.path.name, "bytes": size_bytes})
                return
            await self._store(source)
        except OSError as error:
            _log_failure("the file is not kept in the cache", error)

    async def _store(self, source: Path) -> None:
        partial = self.path.with_name(self.path.name + _PARTIAL_SUFFIX)
        partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with source.open("rb") as reader, os.fdopen(os.open(partial, flags, 0o600), "wb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await asyncio.sleep(0)
            writer.flush()
            os.fchmod(writer.fileno(), _FILE_MODE)
            os.fsync(writer.fileno())
        partial.replace(self.path)

    @contextmanager
    def _open(self) -> Iterator[int | None]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)


def _name(sha256: str) -> str:
    return f"sha256-{sha256}"


def _try_lock(directory: Path, name: str) -> int | None:
    """Take the lock of a file; None while another holds it. Raises OSError where locks do not work."""
    path = directory / (name + _LOCK_SUFFIX)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, _LOCK_MODE)
    try:
        with suppress(PermissionError):  # another user's lock has that mode already
            os.fchmod(fd, _LOCK_MODE)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever removed the file removed its lock too; then this is the lock of nothing.
        if os.path.samestat(os.fstat(fd), path.lstat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _log_failure(what: str, error: OSError) -> None:
    log(what, {"error": error.strerror or str(error)})
