"""Which version of a model a request means: noted where it is looked up, whatever the protocol calls it."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelservice_runtime.audit.line import Asked
from modelservice_runtime.models.repository import IndexEntry, ModelHandle, ModelTable


class Notes:
    """What one request asked for, as soon as that is known."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked: Asked | None = None


class AskedTable(ModelTable):
    """A model table that notes what it is asked for. Protocols look versions up before they return."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: Notes | None = None

    @contextmanager
    def noting(self, notes: Notes) -> Iterator[None]:
        """Note, while this lasts, what is asked for."""
        self._notes = notes
        try:
            yield
        finally:
            self._notes = None

    def find(self, name: str, version: str | None) -> ModelHandle:
        """See `ModelTable.find`."""
        self._note(Asked(name, version))
        handle = super().find(name, version)
        self._note_found(handle)
        return handle

    def find_label(self, name: str, label: str) -> ModelHandle:
        """See `ModelTable.find_label`."""
        handle = super().find_label(name, label)
        self._note_found(handle)
        return handle

    def entries(self, name: str) -> list[IndexEntry]:
        """See `ModelTable.entries`."""
        if self._notes is not None and self._notes.asked is None:
            self._note(Asked(name))
        return super().entries(name)

    def _note_found(self, handle: ModelHandle) -> None:
        content = self._contents.get((handle.name, handle.version))
        self._note(Asked(handle.name, handle.version, content.sha256 if content else None))

    def _note(self, asked: Asked) -> None:
        if self._notes is not None:
            self._notes.asked = asked
