"""The model table: which models and versions there are, and in what state.

A `ModelHandle` is immutable; a new version replaces one reference, and the old one's lane drains and
closes. Used on the event loop's thread only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from modelservice_runtime.errors import InvalidRequestError, ModelUnavailableError, NotFoundError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.model import Batching, ModelSpec
from modelservice_runtime.models.content import ModelContent
from modelservice_runtime.models.snapshots import ModelSnapshot, Snapshots
from modelservice_runtime.models.text_inputs import TextInputs


class ModelState(StrEnum):
    """A version's life, in TensorFlow Serving's words (`get_model_status.proto`).

    START: known, not yet looked at. END: gone for good.
    """

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ModelHandle:
    """A loaded version of a model and what serves it; `texts` of one that takes tokens reads texts for it."""

    spec: ModelSpec
    lane: Lane
    statistics: ModelStatistics
    texts: TextInputs | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def version(self) -> str:
        """The version's name."""
        return self.spec.version

    @property
    def batching(self) -> Batching:
        """Whether requests share runs now, and why not."""
        return self.lane.batching


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A version and its state."""

    name: str
    version: str
    state: ModelState


class ModelTable:
    """Models by name and version.

    A request without a version gets the highest number; where versions are not numbers, the one published
    last. Labels such as `stable` lead to one available version each.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], IndexEntry] = {}
        self._handles: dict[tuple[str, str], ModelHandle] = {}
        self._default: dict[str, ModelHandle] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._contents: dict[tuple[str, str], ModelContent] = {}
        self._generative: dict[str, GenerativeModel] = {}  # adapters' names lead to their model

    def declare(self, name: str, version: str) -> None:
        """Make a version known before it is loaded."""
        self._set_state((name, version), ModelState.START)

    def start_loading(self, name: str, version: str) -> None:
        """Show that a declared version is being loaded."""
        self._set_state((name, version), ModelState.LOADING)

    def publish(self, handle: ModelHandle) -> None:
        """Serve `handle` from now on; a handle of the same name and version drains and closes."""
        key = (handle.spec.name, handle.spec.version)
        replaced = self._handles.pop(key, None)
        self._handles[key] = handle
        self._set_state(key, ModelState.AVAILABLE)
        self._choose_default(handle.spec.name)
        if replaced is not None:
            replaced.lane.close_when_idle(lambda: None)

    def publish_generative(self, model: GenerativeModel) -> None:
        """Serve a model that generates text from now on, under its name and those of its adapters."""
        self._forget_generative(model.name)
        self._generative |= dict.fromkeys([model.name, *model.adapters], model)
        self._set_state((model.name, model.version), ModelState.AVAILABLE)

    def retire_generative(self, name: str) -> None:
        """Begin nothing on it any more; its lane is the caller's."""
        model = self._generative[name]
        self._forget_generative(name)
        self._set_state((name, model.version), ModelState.END)

    def set_content(self, name: str, version: str, content: ModelContent) -> None:
        """Tell what a published version was loaded from, once that is known."""
        self._contents[(name, version)] = content

    def retire(self, name: str, version: str, closed: Callable[[], None] = lambda: None) -> None:
        """Serve a version no more; its last requests finish, then `closed` is called.

        Labels of the version go with it: move them first. Raises NotFoundError for a version not available.
        """
        handle = self._handles.pop((name, version), None)
        if handle is None:
            raise NotFoundError(f"model {name!r} has no version {version!r} to retire")
        labels = self._labels.get(name, {})
        self._labels[name] = {label: target for label, target in labels.items() if target != version}
        self._set_state((name, version), ModelState.UNLOADING)
        self._choose_default(name)

        def end() -> None:
            self._set_state((name, version), ModelState.END)
            closed()

        handle.lane.close_when_idle(end)

    def set_label(self, name: str, label: str, version: str) -> None:
        """Let `label` lead to an available version, from now on.

        Raises NotFoundError or ModelUnavailableError where the version is not available.
        """
        self.find(name, version)
        self._labels.setdefault(name, {})[label] = version

    def find(self, name: str, version: str | None) -> ModelHandle:
        """Return the handle that answers for `name`.

        Raises NotFoundError for unknown names and versions, ModelUnavailableError for those not loaded, and
        InvalidRequestError for a model without tensors.
        """
        handle = self._default.get(name) if version is None else self._handles.get((name, version))
        if handle is not None:
            return handle
        generative = self._generative.get(name)
        if generative is not None and version in (None, generative.version):
            raise InvalidRequestError(
                f"model {_shown(name)} generates text and takes no tensors; "
                "POST to /v1/chat/completions, or to its /generate"
            )
        entries = self.entries(name)
        if not entries and generative is None:
            raise NotFoundError(
                f"model {_shown(name)} is unknown; POST /v2/repository/index lists the models"
            )
        for entry in entries:
            if version in (None, entry.version):
                raise ModelUnavailableError(f"model '{name}' is {_described(entry.state)}; try again later")
        raise NotFoundError(
            f"model {_shown(name)} has no version {_shown(version or '')}; it has {self.versions(name)}"
        )

    def find_generative(self, name: str) -> GenerativeModel | None:
        """The model that generates text under this name, its own or an adapter's, if one can answer."""
        return self._generative.get(name)

    def generative(self) -> list[GenerativeModel]:
        """Every model that generates text and can answer."""
        return list(dict.fromkeys(self._generative.values()))

    def find_label(self, name: str, label: str) -> ModelHandle:
        """Return the handle that `label` leads to. Raises NotFoundError and ModelUnavailableError."""
        version = self._labels.get(name, {}).get(label)
        if version is not None:
            return self._handles[(name, version)]
        self.find(name, None)
        known = sorted(self._labels.get(name, {}))
        raise NotFoundError(f"model {_shown(name)} has no version label {_shown(label)}; it has {known}")

    def check_answers(self, name: str, version: str | None) -> None:
        """Raise what `find` raises where `name` does not answer, whatever kind of model it is."""
        generative = self._generative.get(name)
        if generative is None or version not in (None, generative.version):
            self.find(name, version)

    def names(self) -> list[str]:
        """Names of all models, and of adapters, that can answer."""
        names = [name for name, _ in self._handles]
        return list(dict.fromkeys([*names, *self._generative]))

    def versions(self, name: str) -> list[str]:
        """Versions of `name` that can answer."""
        generative = self._generative.get(name)
        own = [] if generative is None else [generative.version]
        return own + [version for known, version in self._handles if known == name]

    def entries(self, name: str) -> list[IndexEntry]:
        """Every known version of `name` with its state."""
        return [entry for entry in self._entries.values() if entry.name == name]

    def labels(self) -> dict[str, dict[str, str]]:
        """Versions by label, by model."""
        return {name: dict(labels) for name, labels in self._labels.items()}

    def index(self) -> list[IndexEntry]:
        """Every known version with its state."""
        return list(self._entries.values())

    def gather(self, done: Callable[[Snapshots], None]) -> None:
        """See `SnapshotSource.gather`."""
        now_ns = time.perf_counter_ns()
        done(
            [
                ModelSnapshot(
                    handle.name,
                    handle.version,
                    handle.statistics.open_count,
                    handle.statistics,
                    handle.batching,
                    tuple(handle.spec.left_out),
                    contents=(self._contents.get((handle.name, handle.version)),),
                    inputs=handle.spec.inputs,
                    outputs=handle.spec.outputs,
                    waiting=handle.lane.waiting,
                    in_flight_ns=handle.statistics.in_flight_ns(now_ns),
                )
                for handle in self.handles()
            ]
            + [self._text_snapshot(model, now_ns) for model in self.generative()]
        )

    def _text_snapshot(self, model: GenerativeModel, now_ns: int) -> ModelSnapshot:
        return ModelSnapshot(
            model.name,
            model.version,
            model.requests.open_count,
            model.requests,
            contents=(self._contents.get((model.name, model.version)),),
            waiting=model.lane.waiting,
            in_flight_ns=model.requests.in_flight_ns(now_ns),
        )

    def handles(self) -> list[ModelHandle]:
        """Every version that can answer."""
        return list(self._handles.values())

    @property
    def all_ready(self) -> bool:
        """True when every declared version can answer; those that were retired do not count."""
        states = {entry.state for entry in self._entries.values()}
        return states.isdisjoint((ModelState.START, ModelState.LOADING))

    def _forget_generative(self, name: str) -> None:
        self._generative = {known: model for known, model in self._generative.items() if model.name != name}

    def _set_state(self, key: tuple[str, str], state: ModelState) -> None:
        self._entries[key] = IndexEntry(*key, state)

    def _choose_default(self, name: str) -> None:
        candidates = [handle for (known, _), handle in self._handles.items() if known == name]
        if candidates:
            # max() keeps the first of equals; the last published comes first here.
            self._default[name] = max(reversed(candidates), key=lambda handle: _number(handle.spec.version))
        else:
            self._default.pop(name, None)


def _number(version: str) -> int:
    """A version's place among others; everything that is not a number comes before all numbers."""
    return int(version) if version.isascii() and version.isdigit() else -1


def _described(state: ModelState) -> str:
    return "loading" if state in (ModelState.START, ModelState.LOADING) else "unloaded"


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "...")
