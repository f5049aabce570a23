"""Carries one file from a source into the destination: streamed, hashed, capped, resumed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from modelservice_runtime.fetch.age import is_encrypted
from modelservice_runtime.fetch.errors import FetchError, FetchReason, TransientError
from modelservice_runtime.fetch.files.cache import CacheEntry, ModelCache
from modelservice_runtime.fetch.files.destination import Destination, FileDigest, PartialFile, StoredFile
from modelservice_runtime.fetch.files.progress import LowSpeedRule, ProgressLog
from modelservice_runtime.fetch.limits import Budget, TransferLimits
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.retry import retried

_HEAD_BYTES = 512  # a tar archive is told by its bytes 257 to 262
_ARCHIVES = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive (or a PyTorch or Keras file)",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xfd7zXZ\x00": "an xz file",
    b"BZh": "a bzip2 file",
}


@dataclass(frozen=True)
class Wanted:
    """Which bytes of a file are asked for.

    Attributes:
        start_bytes: how many at the beginning are there already.
        end_bytes: where to stop; None for the end of the file.
        etag: what the bytes that are there belong to, if the source said so.

    """

    start_bytes: int = 0
    end_bytes: int | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a source sends; used once.

    Attributes:
        start_bytes: where in the file its bytes begin.
        total_bytes: size of the whole file; None where the source does not say.
        etag: a strong validator of the file, if there is one.
        chunks: the bytes; raises TransientError where the connection breaks.
        close: ends the connection.

    """

    start_bytes: int
    total_bytes: int | None
    etag: str | None
    chunks: AsyncIterator[bytes]
    close: Callable[[], None]


class ChangedError(TransientError):
    """What is there does not belong to the file as it is now: start again."""


class Source(Protocol):
    """Where the bytes come from."""

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the file, or a part of it; raises FetchError, TransientError."""
        ...


class Sink(Protocol):
    """Where the bytes go: a file, or what unpacks them."""

    @property
    def size_bytes(self) -> int:
        """Bytes taken so far."""
        ...

    @property
    def digest(self) -> FileDigest:
        """Digest of the bytes taken so far."""
        ...

    def write_in_steps(self, data: bytes) -> Iterable[None]:
        """Take the next bytes, in steps that are short whatever the bytes are; raises FetchError."""
        ...

    def restart(self) -> None:
        """Forget everything taken so far."""
        ...


@dataclass(frozen=True)
class Expected:
    """What is known about a file before it is fetched.

    Attributes:
        name: its name in the destination.
        sha256: its digest, lower-case hex.
        size_bytes: its exact size.
        is_model: whether it is the ONNX file; archives in its place are refused.

    """

    name: str
    sha256: str | None = None
    size_bytes: int | None = None
    is_model: bool = True


@dataclass(frozen=True)
class Transfer:
    """Everything that is shared by the files of one fetch."""

    destination: Destination
    budget: Budget
    limits: TransferLimits
    cache: ModelCache | None = None
    file: str | None = None
    """The name of the one file that is wanted, where that is not the model."""
    companions: tuple[str, ...] = ()
    """Files beside the model that are wanted although it names none of them."""
    optional_companions: tuple[str, ...] = ()
    """Those that come along where they are there."""

    @property
    def reads_archives(self) -> bool:
        """Whether a model may lie in an archive of files."""
        return True

    async def store(self, source: Source, expected: Expected) -> StoredFile:
        """Fetch one file, unless it is already there, or in the cache, with the right digest.

        Raises:
            FetchError: with the reason.

        """
        async with self.stage(source, expected) as staged:
            return staged.commit()

    @asynccontextmanager
    async def stage(self, source: Source, expected: Expected) -> AsyncIterator[PartialFile | StoredFile]:
        """Fetch one file, whole and checked, that gets its name when it is committed within the context.

        Raises:
            FetchError: with the reason.

        """
        present = expected.sha256 and self.destination.find(expected.name, expected.sha256)
        if present:
            log("already present", {"file": present.name, "bytes": present.digest.size_bytes})
            self.budget.take(present.digest.size_bytes)
            yield present
            return
        with self.destination.create_partial(expected.name) as partial:
            await self._fill(partial, source, expected)
            self.budget.take(partial.size_bytes)
            yield partial

    async def _fill(self, partial: PartialFile, source: Source, expected: Expected) -> None:
        if expected.sha256 is None or self.cache is None:
            await self.receive(source, expected, partial)
            return
        async with self.cache.entry(expected.sha256) as entry:
            if entry is not None and await self._take_from_cache(entry, partial):
                return
            await self.receive(source, expected, partial)
            if entry is not None:
                await entry.keep(partial.path, partial.size_bytes)

    async def _take_from_cache(self, entry: CacheEntry, partial: PartialFile) -> bool:
        size_bytes = entry.size_bytes
        if size_bytes is None:
            return False
        check_budget(self.budget, size_bytes, partial.name)
        self.destination.require_space(size_bytes, partial.name)
        if not await entry.copy_to(partial):
            return False
        log("taken from the cache", {"file": partial.name, "bytes": size_bytes})
        return True

    async def receive(self, source: Source, expected: Expected, sink: Sink) -> None:
        """Bring all bytes of a source into `sink` and check their digest.

        Raises:
            FetchError: with the reason.

        """
        download = _Download(self, source, expected, sink)
        await retried(download.attempt, self.limits, lambda: sink.size_bytes)
        check_digest(expected.sha256, sink.digest.sha256, expected.name)
        fields = download.progress.describe(sink.size_bytes, sink.size_bytes)
        log("received", {**fields, "sha256": sink.digest.sha256})


async def read_head(source: Source, size_bytes: int) -> bytes:
    """The first bytes of a source, fewer where it has fewer.

    Raises:
        FetchError, TransientError: as the source does.

    """
    try:
        answer = await source.open(Wanted(end_bytes=size_bytes))
    except ChangedError:  # an empty file has no first bytes
        return b""
    head = bytearray()
    try:
        async for chunk in answer.chunks:
            head += chunk
            if len(head) >= size_bytes:
                break
    finally:
        answer.close()
    return bytes(head[:size_bytes])


def check_budget(budget: Budget, size_bytes: int, name: str) -> None:
    """Refuse a file of more than the bytes that are left.

    Raises:
        FetchError: `ModelTooLarge`.

    """
    if size_bytes > budget.remaining_bytes:
        raise FetchError(
            FetchReason.MODEL_TOO_LARGE,
            f"{name} needs more than the allowed {budget.max_bytes} bytes; "
            "raise spec.model.maxSize or use a smaller model",
        )


def check_digest(expected: str | None, actual: str, name: str) -> None:
    """Compare sha256 digests; nothing expected is always right.

    Raises:
        FetchError: `DigestMismatch`.

    """
    if expected is not None and expected != actual:
        raise FetchError(
            FetchReason.DIGEST_MISMATCH,
            f"{name} has sha256 {actual}, expected {expected}; "
            "correct spec.model.sha256 or restore the stored file",
        )


def find_archive(head: bytes) -> str | None:
    """Name the kind of archive that starts with `head`, or None."""
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)


def refuse_archive(head: bytes, name: str) -> None:
    """Refuse what begins like an archive, or like a file that has to be decrypted first.

    Raises:
        FetchError: `ArchiveRefused` or `DecryptionFailed`.

    """
    if is_encrypted(head):
        raise FetchError(
            FetchReason.DECRYPTION_FAILED,
            f"{name} is encrypted; name the Secret with its key in spec.model.decryption.secretName",
        )
    kind = find_archive(head)
    if kind:
        raise FetchError(
            FetchReason.ARCHIVE_REFUSED, f"{name} is {kind}, not an ONNX file; store the .onnx file itself"
        )


class _Download:
    """One file's attempts; what was written stays between them."""

    def __init__(self, transfer: Transfer, source: Source, expected: Expected, sink: Sink) -> None:
        self._transfer = transfer
        self._source = source
        self._expected = expected
        self._sink = sink
        self._total_bytes = expected.size_bytes
        self._etag: str | None = None
        self._head = b""
        self.progress = ProgressLog(expected.name, transfer.limits.progress_interval_seconds, time.monotonic)
        self._check_size(expected.size_bytes or 0)

    async def attempt(self) -> None:
        """Fetch what is still missing.

        Raises:
            TransientError: the connection broke or the server asks to wait.
            FetchError: for good.

        """
        try:
            answer = await self._source.open(self._wanted())
        except ChangedError:
            self._restart()
            raise
        try:
            self._align(answer)
            await self._receive(answer)
        finally:
            answer.close()
        self._check_complete()

    def _wanted(self) -> Wanted:
        """Ask for the rest where it is sure to belong to the same bytes, else start again."""
        if self._sink.size_bytes and not self._etag and not self._expected.sha256:
            self._restart()
        return Wanted(self._sink.size_bytes, etag=self._etag if self._sink.size_bytes else None)

    def _restart(self) -> None:
        self._sink.restart()
        self._head = b""

    def _align(self, answer: Answer) -> None:
        """Make the answer and what is on the disk fit together."""
        other_file = answer.start_bytes and self._etag and answer.etag and answer.etag != self._etag
        if other_file or answer.start_bytes != self._sink.size_bytes:
            self._restart()
        if answer.start_bytes != self._sink.size_bytes:
            raise TransientError("the server answered with another part of the file than asked for")
        self._etag = answer.etag
        self._set_total(answer.total_bytes)

    def _set_total(self, total_bytes: int | None) -> None:
        if total_bytes is None:
            return
        if self._expected.size_bytes not in (None, total_bytes):
            raise FetchError(
                FetchReason.DIGEST_MISMATCH,
                f"{self._expected.name} has {total_bytes} bytes, expected {self._expected.size_bytes}; "
                "store the files again",
            )
        self._check_size(total_bytes)
        self._transfer.destination.require_space(total_bytes - self._sink.size_bytes, self._expected.name)
        self._total_bytes = total_bytes

    async def _receive(self, answer: Answer) -> None:
        rule = LowSpeedRule(self._transfer.limits, time.monotonic)
        async for chunk in answer.chunks:
            self._check_size(self._sink.size_bytes + len(chunk))
            self._check_head(chunk)
            for _ in self._sink.write_in_steps(chunk):
                await asyncio.sleep(0)  # the timeout and a signal get their turn
            rule.update(len(chunk))
            self.progress.update(self._sink.size_bytes, self._total_bytes)

    def _check_size(self, size_bytes: int) -> None:
        check_budget(self._transfer.budget, size_bytes, self._expected.name)

    def _check_head(self, chunk: bytes) -> None:
        if not self._expected.is_model or len(self._head) >= _HEAD_BYTES:
            return
        self._head = (self._head + chunk[:_HEAD_BYTES])[:_HEAD_BYTES]
        refuse_archive(self._head, self._expected.name)

    def _check_complete(self) -> None:
        if self._total_bytes is not None and self._sink.size_bytes < self._total_bytes:
            raise TransientError(f"the file ended after {self._sink.size_bytes} of {self._total_bytes} bytes")
        if self._sink.size_bytes == 0:
            raise FetchError(
                FetchReason.DOWNLOAD_FAILED, f"{self._expected.name} is empty; store the model file again"
            )
