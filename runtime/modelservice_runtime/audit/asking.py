"""Which version of a model a request means: noted where it is looked up, whatever the protocol calls it."""

from modelservice_runtime.audit.line import Asked
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.models.content import ModelContent
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
        self.notes: Notes | None = None
        """Those of the request that is being dispatched, if any."""
        self._found: dict[tuple[str, str], Asked] = {}

    def find(self, name: str, version: str | None) -> ModelHandle:
        """See `ModelTable.find`."""
        handle = self._default.get(name) if version is None else self._handles.get((name, version))
        if handle is None:
            self._note(Asked(name, version))
            return super().find(name, version)  # says why not
        self._note_found(name, (handle.name, handle.version))
        return handle

    def find_generative(self, name: str) -> GenerativeModel | None:
        """See `ModelTable.find_generative`."""
        model = super().find_generative(name)
        if model is not None:
            self._note_found(name, (model.name, model.version))
        return model

    def find_label(self, name: str, label: str) -> ModelHandle:
        """See `ModelTable.find_label`."""
        handle = super().find_label(name, label)
        self._note_found(name, (handle.name, handle.version))
        return handle

    def entries(self, name: str) -> list[IndexEntry]:
        """See `ModelTable.entries`."""
        if self.notes is not None and self.notes.asked is None:
            self._note(Asked(name))
        return super().entries(name)

    def set_content(self, name: str, version: str, content: ModelContent) -> None:
        """See `ModelTable.set_content`."""
        super().set_content(name, version, content)
        self._found.clear()

    def _note_found(self, name: str, key: tuple[str, str]) -> None:
        """`name` is what was asked for: the model's, or that of an adapter."""
        version = key[1]
        asked = self._found.get((name, version))
        if asked is None:
            content = self._contents.get(key)
            digests = (content.sha256, content.external_data_sha256) if content else (None, None)
            asked = self._found[name, version] = Asked(name, version, *digests)
        self._note(asked)

    def _note(self, asked: Asked) -> None:
        if self.notes is not None:
            self.notes.asked = asked
