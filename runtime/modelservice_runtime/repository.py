"""The model table: which models and versions there are, and in what state.

A ``ModelHandle`` is immutable; a new version replaces one reference, and the old one's lane drains and
closes. Used on the event loop's thread only.
"""

from dataclasses import dataclass
from enum import StrEnum

from modelservice_runtime.errors import ModelUnavailableError, NotFoundError
from modelservice_runtime.lane import Lane
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.statistics import ModelStatistics


class ModelState(StrEnum):
    """States of the repository index (Triton's extension_model_repository.md)."""

    LOADING = "LOADING"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True, eq=False)
class ModelHandle:
    """A loaded version of a model and what serves it."""

    spec: ModelSpec
    lane: Lane
    statistics: ModelStatistics


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index."""

    name: str
    version: str
    state: ModelState
    reason: str = ""


class ModelTable:
    """Models by name and version; a request without a version gets the one published last."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], IndexEntry] = {}
        self._handles: dict[tuple[str, str], ModelHandle] = {}
        self._default: dict[str, ModelHandle] = {}

    def declare(self, name: str, version: str) -> None:
        """Make a version known before it is loaded."""
        self._entries[(name, version)] = IndexEntry(name, version, ModelState.LOADING)

    def publish(self, handle: ModelHandle) -> None:
        """Serve ``handle`` from now on; a handle of the same name and version drains and closes."""
        key = (handle.spec.name, handle.spec.version)
        replaced = self._handles.get(key)
        self._entries[key] = IndexEntry(*key, ModelState.READY)
        self._handles[key] = handle
        self._default[handle.spec.name] = handle
        if replaced is not None:
            replaced.lane.close_when_idle(lambda: None)

    def find(self, name: str, version: str | None) -> ModelHandle:
        """Return the handle that answers for ``name``.

        Raises NotFoundError for unknown names and versions, ModelUnavailableError for those not loaded.
        """
        handle = self._default.get(name) if version is None else self._handles.get((name, version))
        if handle is not None:
            return handle
        for entry in self._entries.values():
            if entry.name == name and version in (None, entry.version):
                raise ModelUnavailableError(f"model '{name}' is {entry.state.value.lower()}; try again later")
        shown = name if len(name) <= 100 else name[:100] + "..."
        if version is None or not any(entry.name == name for entry in self._entries.values()):
            raise NotFoundError(f"model {shown!r} is unknown; POST /v2/repository/index lists the models")
        raise NotFoundError(f"model {shown!r} has no version {version[:100]!r}; it has {self.versions(name)}")

    def versions(self, name: str) -> list[str]:
        """Versions of ``name`` that can answer."""
        return [version for known, version in self._handles if known == name]

    def index(self) -> list[IndexEntry]:
        """Every known version with its state."""
        return list(self._entries.values())

    def handles(self) -> list[ModelHandle]:
        """Every version that can answer."""
        return list(self._handles.values())

    @property
    def all_ready(self) -> bool:
        """True when every declared version can answer."""
        return all(entry.state is ModelState.READY for entry in self._entries.values())
