"""Encrypted files on their way: they are checked and cached as they are, and decrypted into the destination.

What is encrypted passes through a directory of its own, so that the destination, which lies in memory, holds
nothing twice and no byte in clear is written anywhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from modelservice_runtime.fetch.age import Identity, decrypt
from modelservice_runtime.fetch.errors import FetchError, FetchReason, translated_os_errors
from modelservice_runtime.fetch.files.destination import Destination, PartialFile, StoredFile
from modelservice_runtime.fetch.files.transfer import Expected, Source, Transfer, refuse_archive
from modelservice_runtime.fetch.log import log

_GRACE_SECONDS = 5.0
"""A fetch that is given up waits for its thread no longer: the library may be at work, or the disk."""


@dataclass(frozen=True, kw_only=True)
class DecryptingTransfer(Transfer):
    """A transfer whose `destination` takes what is encrypted, one file at a time, and `plain` the rest.

    Attributes:
        plain: where the decrypted files go.
        identities: private keys, any of which may be the right one.

    """

    plain: Destination
    identities: Sequence[Identity]

    @property
    def reads_archives(self) -> bool:
        """Files in archives are not decrypted."""
        return False

    @asynccontextmanager
    async def stage(self, source: Source, expected: Expected) -> AsyncIterator[PartialFile | StoredFile]:
        """Fetch one file, check it as it is, and decrypt it; it gets its name when it is committed.

        Raises:
            FetchError: with the reason.

        """
        async with super().stage(source, replace(expected, is_model=False)) as encrypted:
            size_bytes = encrypted.digest.size_bytes
            self.plain.require_space(size_bytes, expected.name)
            with self.plain.create_partial(expected.name) as partial:
                sink = _Sink(partial, checks_head=expected.is_model)
                await _in_thread(self._decrypt, encrypted, sink, expected.name)
                log("decrypted", {"file": expected.name, "bytes": partial.size_bytes})
                yield partial

    def _decrypt(self, encrypted: PartialFile | StoredFile, sink: "_Sink", name: str) -> None:
        with translated_os_errors(f"read {name}"), encrypted.path.open("rb") as source:
            decrypt(source, sink, self.identities, name)


class _Sink:
    """Takes decrypted bytes until nobody wants them any more."""

    def __init__(self, partial: PartialFile, *, checks_head: bool) -> None:
        self._partial = partial
        self._checks_head = checks_head
        self.stopped = False

    def write(self, data: bytes) -> None:
        if self.stopped:
            raise FetchError(FetchReason.DOWNLOAD_FAILED, "the fetch was ended while a file was decrypted")
        if self._checks_head and not self._partial.size_bytes:
            refuse_archive(data, self._partial.name)
        self._partial.write(data)


async def _in_thread(work: Any, encrypted: PartialFile | StoredFile, sink: _Sink, name: str) -> None:
    """Decrypt on a thread; where that is given up, wait until it writes no more, but not for ever."""
    task = asyncio.ensure_future(asyncio.to_thread(work, encrypted, sink, name))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        sink.stopped = True
        await asyncio.wait([task], timeout=_GRACE_SECONDS)
        raise
