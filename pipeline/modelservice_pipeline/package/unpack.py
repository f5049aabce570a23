"""Writes the files of an artifact into a new folder: all of them, checked, or none."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.package.files import read_files


@dataclass(frozen=True)
class WrittenFile:
    """A file of the folder."""

    path: str
    size_bytes: int
    sha256: str


def unpack(content: Content, target: Path) -> tuple[WrittenFile, ...]:
    """Write an artifact's files into a folder that is not there yet, or empty. Raises PipelineError."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PipelineError(f"{target} is there and not empty: name a new folder")
    parent = target.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=parent) as temporary:
            made = Path(temporary) / "files"
            made.mkdir()
            written = _write(content, made)
            made.rename(target)
    except OSError as error:
        raise PipelineError(f"cannot write {target}: {error.strerror or error}") from None
    return written


def _write(content: Content, folder: Path) -> tuple[WrittenFile, ...]:
    written: dict[str, WrittenFile] = {}
    for path, chunks in read_files(content):
        if chunks is None:
            _remove(folder / path, written, path)
            continue
        written[path] = _write_file(folder / path, path, chunks)
    if not written:
        raise PipelineError("the artifact holds no files: links and devices in it are left out")
    return tuple(written[path] for path in sorted(written))


def _write_file(target: Path, path: str, chunks: Iterator[bytes]) -> WrittenFile:
    digest, size_bytes = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
            digest.update(chunk)
            size_bytes += len(chunk)
    return WrittenFile(path, size_bytes, digest.hexdigest())


def _remove(target: Path, written: dict[str, WrittenFile], path: str) -> None:
    """Take away what a higher layer hides: a file, or all below a folder."""
    below = f"{path.rstrip('/')}/"
    for name in [name for name in written if name == path or name.startswith(below)]:
        del written[name]
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
