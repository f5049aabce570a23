"""Carries one file from a source into the destination: streamed, hashed, capped, resumed."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from modelservice_runtime.fetch.cache import CacheEntry, ModelCache
from modelservice_runtime.fetch.client import describe_network_error
from modelservice_runtime.fetch.destination import Destination, FileDigest, PartialFile, StoredFile
from modelservice_runtime.fetch.errors import FetchError, FetchReason, TransientError
from modelservice_runtime.fetch.limits import Budget, TransferLimits
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.progress import LowSpeedRule, ProgressLog
from modelservice_runtime.fetch.retry import retried

_HEAD_BYTES = 512  # a tar archive is told by its bytes 257 to 262
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_ARCHIVES = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive (or a PyTorch or Keras file)",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xfd7zXZ\x00": "an xz file",
    b"BZh": "a bzip2 file",
}


class Source(Protocol):
    """Where the bytes come from."""

    async def open(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Ask for the file with extra ``headers``; the answer has status 200, 206 or 416."""
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

    def write(self, data: bytes) -> None:
        """Take the next bytes; raises FetchError."""
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
        """Bring all bytes of a source into ``sink`` and check their digest.

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
    response = await source.open({"Range": f"bytes=0-{size_bytes - 1}"})
    head = bytearray()
    try:
        if response.status != 416:  # of an empty file there is no range
            async for chunk in response.content.iter_any():
                head += chunk
                if len(head) >= size_bytes:
                    break
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TransientError(describe_network_error(response.url, error)) from error
    finally:
        response.close()
    return bytes(head[:size_bytes])


def check_budget(budget: Budget, size_bytes: int, name: str) -> None:
    """Refuse a file of more than the bytes that are left.

    Raises:
        FetchError: ``ModelTooLarge``.

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
        FetchError: ``DigestMismatch``.

    """
    if expected is not None and expected != actual:
        raise FetchError(
            FetchReason.DIGEST_MISMATCH,
            f"{name} has sha256 {actual}, expected {expected}; "
            "correct spec.model.sha256 or restore the stored file",
        )


def find_archive(head: bytes) -> str | None:
    """Name the kind of archive that starts with ``head``, or None."""
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)


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
        response = await self._source.open(self._range_headers())
        try:
            self._align(response)
            await self._receive(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(describe_network_error(response.url, error)) from error
        finally:
            response.close()
        self._check_complete()

    def _range_headers(self) -> dict[str, str]:
        """Ask for the rest where it is sure to belong to the same bytes, else start again."""
        if self._sink.size_bytes == 0:
            return {}
        range_header = {"Range": f"bytes={self._sink.size_bytes}-"}
        if self._etag:
            return {**range_header, "If-Range": self._etag}
        if self._expected.sha256:
            return range_header
        self._restart()
        return {}

    def _restart(self) -> None:
        self._sink.restart()
        self._head = b""

    def _align(self, response: aiohttp.ClientResponse) -> None:
        """Make the answer and what is on the disk fit together."""
        etag = response.headers.get("ETag", "")
        strong = etag if etag.startswith('"') else None
        if response.status == 206:
            start, total = _parse_content_range(response.headers.get("Content-Range", ""))
            if start != self._sink.size_bytes or (self._etag and strong and strong != self._etag):
                self._restart()
                raise TransientError("the server answered with another part of the file than asked for")
        elif response.status == 416:
            self._restart()
            raise TransientError("the server has no further bytes of the file")
        else:
            if self._sink.size_bytes:
                self._restart()
            total = response.content_length
        self._etag = strong
        self._set_total(total)

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

    async def _receive(self, response: aiohttp.ClientResponse) -> None:
        rule = LowSpeedRule(self._transfer.limits, time.monotonic)
        async for chunk in response.content.iter_any():
            self._check_size(self._sink.size_bytes + len(chunk))
            self._check_head(chunk)
            self._sink.write(chunk)
            rule.update(len(chunk))
            self.progress.update(self._sink.size_bytes, self._total_bytes)

    def _check_size(self, size_bytes: int) -> None:
        check_budget(self._transfer.budget, size_bytes, self._expected.name)

    def _check_head(self, chunk: bytes) -> None:
        if not self._expected.is_model or len(self._head) >= _HEAD_BYTES:
            return
        self._head = (self._head + chunk[:_HEAD_BYTES])[:_HEAD_BYTES]
        kind = find_archive(self._head)
        if kind:
            raise FetchError(
                FetchReason.ARCHIVE_REFUSED,
                f"{self._expected.name} is {kind}, not an ONNX file; store the .onnx file itself",
            )

    def _check_complete(self) -> None:
        if self._total_bytes is not None and self._sink.size_bytes < self._total_bytes:
            raise TransientError(f"the file ended after {self._sink.size_bytes} of {self._total_bytes} bytes")
        if self._sink.size_bytes == 0:
            raise FetchError(
                FetchReason.DOWNLOAD_FAILED, f"{self._expected.name} is empty; store the model file again"
            )


def _parse_content_range(value: str) -> tuple[int, int | None]:
    match = _CONTENT_RANGE.fullmatch(value)
    if match is None:
        raise TransientError("the server sent a part of the file without saying which")
    return int(match[1]), None if match[3] == "*" else int(match[3])
