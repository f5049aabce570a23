"""Takes a layer that is an archive apart while it comes in: a container image, a folder, a ModelPack.

Only models, and the files that models name, are written, each under a temporary name. Links, devices and
everything else in the archive are passed over, so that no name in it can lead anywhere.
"""

import hashlib
import posixpath
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.destination import Destination, FileDigest, PartialFile
from modelservice_runtime.fetch.files.external_data import find_external_files
from modelservice_runtime.fetch.files.tar_stream import Gunzip, Member, Take, TarError, TarStream, is_gzip
from modelservice_runtime.fetch.limits import MAX_FILES, Budget
from modelservice_runtime.fetch.names import clean_path, is_model, join_path

# Entries of one layer, of any kind; a container image of a whole system has some tens of thousands.
_MAX_MEMBERS = 500_000
# In images a file of this prefix removes the one without it from the layers below, and this name all files
# of its folder (OCI image specification 1.1, "Whiteouts").
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass
class Unpacked:
    """What a layer held.

    Attributes:
        paths: of all files.
        removed: files, or folders that end in `/`, of the layers below.
        files: those that were written.
        size_bytes: of everything in the archive, written or not.

    """

    paths: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    files: dict[str, PartialFile] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass
class Selection:
    """Which files of an archive are written: those of `paths`, and with `models` all ONNX files."""

    paths: set[str] = field(default_factory=set)
    models: bool = True

    def takes(self, path: str) -> bool:
        """Whether a file is written."""
        return path in self.paths or (self.models and is_model(path))


class Unpacker:
    """Takes the bytes of one layer and writes what is wanted; use it with `with`.

    Args:
        destination: receives the files.
        budget: the most bytes that the archives together may hold.
        before_bytes: what the archives before this one held.
        selection: what is written; the files that a model names are added to it.
        name: of the archive, for messages.

    """

    def __init__(
        self, destination: Destination, budget: Budget, before_bytes: int, selection: Selection, name: str
    ) -> None:
        self._destination = destination
        self._budget = budget
        self._before_bytes = before_bytes
        self._selection = selection
        self._name = name
        self._stack = ExitStack()
        self._start()

    def __enter__(self) -> "Unpacker":
        """Nothing is opened before bytes come."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed."""
        self._stack.close()

    def _start(self) -> None:
        self.found = Unpacked()
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._head = b""
        self._gunzip: Gunzip | None = None
        self._current: tuple[str, PartialFile] | None = None
        self._members = 0
        self._tar = TarStream(self._open_member)

    @property
    def digest(self) -> FileDigest:
        """Digest of the layer itself."""
        return FileDigest(self._hash.hexdigest(), self.size_bytes)

    def write_in_steps(self, data: bytes) -> Iterator[None]:
        """Take the next bytes of the layer; few bytes may hold a thousand times as many.

        Raises:
            FetchError: `ArchiveRefused` for damage, `ModelTooLarge` for a bomb.

        """
        if self.size_bytes == 0 and is_gzip(data):
            self._gunzip = Gunzip()
        self.size_bytes += len(data)
        self._hash.update(data)
        try:
            for piece in (data,) if self._gunzip is None else self._gunzip.feed(data):
                self._count(len(piece))
                self._tar.feed(piece)
                yield
        except TarError as error:
            raise self._refuse(str(error)) from error

    def restart(self) -> None:
        """Forget everything."""
        self._stack.close()
        self._start()

    def finish(self) -> Unpacked:
        """Say that the layer is complete; return what it held."""
        try:
            self._tar.finish()
        except TarError as error:
            raise self._refuse(str(error)) from error
        self._close_member()
        return self.found

    def _count(self, size_bytes: int) -> None:
        self.found.size_bytes += size_bytes
        total_bytes = self._before_bytes + self.found.size_bytes
        if total_bytes > self._budget.remaining_bytes:
            raise FetchError(
                FetchReason.MODEL_TOO_LARGE,
                f"the layers unpack to more than the allowed {self._budget.max_bytes} bytes; "
                "raise spec.model.maxSize or push the model alone",
            )

    def _open_member(self, member: Member) -> Take | None:
        self._close_member()
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise self._refuse(f"it holds more than {_MAX_MEMBERS} entries")
        path = clean_path(member.path.lstrip("/"))
        if path is None or self._note_whiteout(path) or not member.is_file:
            return None
        self.found.paths.add(path)
        if not self._selection.takes(path):
            return None
        if len(self.found.files) >= MAX_FILES:
            raise self._refuse(f"it holds more than {MAX_FILES} models")
        partial = self._stack.enter_context(self._destination.create_partial(posixpath.basename(path)))
        self._current = path, partial
        return partial.write

    def _close_member(self) -> None:
        if self._current is None:
            return
        path, partial = self._current
        self._current = None
        self.found.files[path] = partial  # of two with one path the last counts, as for tar itself
        if is_model(path):
            self._selection.paths.update(
                join_path(path, location) for location in find_external_files(partial.path)
            )

    def _note_whiteout(self, path: str) -> bool:
        folder, name = posixpath.split(path)
        if not name.startswith(_WHITEOUT):
            return False
        self.found.removed.add(
            f"{folder}/" if name == _OPAQUE else posixpath.join(folder, name[len(_WHITEOUT) :])
        )
        return True

    def _refuse(self, why: str) -> FetchError:
        return FetchError(
            FetchReason.ARCHIVE_REFUSED, f"the archive {self._name} cannot be read: {why}; push it again"
        )
