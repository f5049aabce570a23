"""Archives as a stream of bytes that is the same for the same files: no times, no owners, one mode."""

import tarfile
from collections.abc import Iterable, Iterator

from modelservice_pipeline.oci.content import Open

_BLOCK_BYTES = tarfile.BLOCKSIZE
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755

Member = tuple[str, int, Open]
"""A file: its path in the archive, its size in bytes, its bytes."""


def tar_stream(members: Iterable[Member], *, folders: bool = True) -> Iterator[bytes]:
    """Yield an archive of files in the order of their paths, each after the folders that it lies in."""
    seen: set[str] = set()
    for path, size_bytes, open_file in sorted(members, key=lambda member: member[0]):
        for folder in _folders(path) if folders else ():
            if folder not in seen:
                seen.add(folder)
                yield _header(folder, 0, is_folder=True)
        yield _header(path, size_bytes, is_folder=False)
        yield from open_file()
        yield b"\0" * (-size_bytes % _BLOCK_BYTES)
    yield b"\0" * (2 * _BLOCK_BYTES)


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    yield from ("/".join(parts[: number + 1]) for number in range(len(parts)))


def _header(path: str, size_bytes: int, *, is_folder: bool) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size_bytes
    member.mode = _FOLDER_MODE if is_folder else _FILE_MODE
    member.type = tarfile.DIRTYPE if is_folder else tarfile.REGTYPE
    return member.tobuf(tarfile.PAX_FORMAT)
