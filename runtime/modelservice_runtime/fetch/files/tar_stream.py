"""Reads a tar archive that comes in pieces, gzip-compressed or not. Pure.

Follows POSIX pax (IEEE Std 1003.1) and GNU tar's long names; headers are parsed by `tarfile`. Nothing
is written here and no name is trusted: whoever opens a member decides what becomes of its bytes.
"""

import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK_BYTES = 512
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib: a gzip header, any window
_MAX_PIECE_BYTES = 64 * 1024
_MAX_EXTENSION_BYTES = 64 * 1024  # of a pax header or a long name
_EXTENSIONS = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_PAX_RECORD = re.compile(rb"([0-9]{1,9}) ([^=]*)=")
_SPARSE = "GNU.sparse."  # the beginning of several keys, which are kept as this one
_PAX_KEYS = frozenset({"path", "size", _SPARSE})

Take = Callable[[bytes], None]


class TarError(ValueError):
    """The bytes are no archive that can be read; `str(error)` says why."""


@dataclass(frozen=True)
class Member:
    """An entry of an archive: its path as written, its size, and whether it is a plain file."""

    path: str
    size_bytes: int
    is_file: bool


def is_gzip(head: bytes) -> bool:
    """Whether bytes begin as a gzip file does."""
    return head.startswith(_GZIP)


def is_tar(head: bytes) -> bool:
    """Whether bytes begin with a tar header, or with the end of an empty archive."""
    block = head[:BLOCK_BYTES]
    if len(block) < BLOCK_BYTES:
        return False
    return block.count(0) == BLOCK_BYTES or _parse_header(block) is not None


def unzip_head(head: bytes) -> bytes:
    """The beginning of what the gzip-compressed `head` holds; empty where it is damaged."""
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(head, _MAX_PIECE_BYTES)
    except zlib.error:
        return b""


class Gunzip:
    """Decompresses piece by piece, no piece larger than 64 KiB; files of several members too."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds; raises TarError where it is damaged."""
        try:
            while data:
                yield self._stream.decompress(data, _MAX_PIECE_BYTES)
                data = self._stream.unconsumed_tail
                if self._stream.eof:
                    data = self._stream.unused_data
                    self._stream = zlib.decompressobj(_GZIP_WINDOW)
        except zlib.error as error:
            raise TarError("its gzip data is damaged") from error


class TarStream:
    """Splits an archive into its members.

    Args:
        open_member: called for each entry; what it returns takes the member's bytes, None skips them.

    """

    def __init__(self, open_member: Callable[[Member], Take | None]) -> None:
        self._open_member = open_member
        self._header = b""
        self._take: Take | None = None
        self._left_bytes = 0
        self._padding_bytes = 0
        self._extension: tuple[bytes, bytearray] | None = None
        self._global: dict[str, str] = {}
        self._next: dict[str, str] = {}
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the archive; raises TarError."""
        view = memoryview(data)
        while view and not self._ended:
            if self._left_bytes:
                view = self._feed_member(view)
            elif self._padding_bytes:
                skipped = min(self._padding_bytes, len(view))
                self._padding_bytes -= skipped
                view = view[skipped:]
            else:
                view = self._feed_header(view)

    def finish(self) -> None:
        """Say that no bytes follow; raises TarError in the middle of a member."""
        if self._left_bytes or self._header:
            raise TarError("it ends in the middle of a file")

    def _feed_member(self, view: memoryview) -> memoryview:
        piece, rest = view[: self._left_bytes], view[self._left_bytes :]
        self._left_bytes -= len(piece)
        if self._take is not None:
            self._take(bytes(piece))
        if not self._left_bytes and self._extension is not None:
            self._read_extension(*self._extension)
            self._extension = None
        return rest

    def _feed_header(self, view: memoryview) -> memoryview:
        missing = BLOCK_BYTES - len(self._header)
        self._header += bytes(view[:missing])
        if len(self._header) == BLOCK_BYTES:
            header, self._header = self._header, b""
            self._begin(header)
        return view[missing:]

    def _begin(self, header: bytes) -> None:
        if header.count(0) == BLOCK_BYTES:
            self._ended = True
            return
        info = _parse_header(header)
        if info is None:
            raise TarError("it has a damaged header")
        if info.type in _EXTENSIONS:
            if info.size > _MAX_EXTENSION_BYTES:
                raise TarError("it has a pax header or a name of more than 64 KiB")
            body = bytearray()
            self._extension, self._take = (info.type, body), body.extend
            self._set_size(info.size)
            return
        fields = {**self._global, **self._next}
        if info.type == tarfile.GNUTYPE_SPARSE or _SPARSE in fields:
            raise TarError("it holds a sparse file; make it without --sparse")
        self._next = {}
        size_bytes = _parse_size(fields.get("size"), info.size)
        path = fields.get("path", info.name)
        self._set_size(size_bytes if info.isreg() or info.type not in tarfile.SUPPORTED_TYPES else 0)
        self._take = self._open_member(Member(path, size_bytes, info.isreg()))

    def _set_size(self, size_bytes: int) -> None:
        self._left_bytes = size_bytes
        self._padding_bytes = -size_bytes % BLOCK_BYTES

    def _read_extension(self, kind: bytes, body: bytearray) -> None:
        if kind == tarfile.GNUTYPE_LONGNAME:
            self._next["path"] = _decode(bytes(body).rstrip(b"\0"))
        elif kind == tarfile.XHDTYPE:
            self._next.update(_parse_pax(bytes(body)))
        elif kind == tarfile.XGLTYPE:
            self._global.update(_parse_pax(bytes(body)))


def _parse_header(block: bytes) -> tarfile.TarInfo | None:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return info if info.size >= 0 else None


def _parse_pax(body: bytes) -> dict[str, str]:
    """Records of a length, a space, KEY=VALUE and a line break; the length counts the whole record.

    Only the keys that are read here are returned, so that what an archive makes us keep is bounded.
    """
    fields: dict[str, str] = {}
    at = 0
    while at < len(body):
        record = _PAX_RECORD.match(body, at)
        end = at + int(record[1]) if record else 0
        if record is None or record.end() >= end or body[end - 1 : end] != b"\n":
            raise TarError("it has a damaged pax header")
        key = _decode(record[2])
        key = _SPARSE if key.startswith(_SPARSE) else key
        if key in _PAX_KEYS:
            fields[key] = _decode(body[record.end() : end - 1])
        at = end
    return fields


def _parse_size(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise TarError("it has a damaged pax header")
    return int(text)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
