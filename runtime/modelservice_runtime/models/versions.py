"""Which versions of a model a path holds, and which of them are served.

A directory whose entries are numbers holds one version in each, as TensorFlow Serving and Triton lay models
out: `NAME/1/model.onnx`, `NAME/2/model.onnx`. Anything else is one version, named by a setting.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.errors import (
    AccessDeniedError,
    InvalidSettingsError,
    ModelNotFoundError,
    StartupError,
)
from modelservice_runtime.generation.config import is_generative, whole_model
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.settings.generation import AdapterSource
from modelservice_runtime.settings.models import VersionLabel, VersionPolicy

_MAX_VERSION_DIGITS = 18


@dataclass(frozen=True, slots=True)
class VersionSource:
    """One version of a model: what the protocols call it, its file or directory, what it can be tried on.

    `has_to_prove` tells that its proof is replayed before it serves; see `models.proof`. `adapters` are those
    of a model that generates text.
    """

    name: str
    version: str
    path: Path
    samples: tuple[str, ...] = ()
    has_to_prove: bool = False
    adapters: tuple[AdapterSource, ...] = ()

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Put the model's name and version before the sentence of a StartupError: there may be several."""
        try:
            yield
        except StartupError as error:
            sentence = f"model {self.name!r} (version {self.version!r}): {error.sentence}"
            raise type(error)(sentence) from error.__cause__


def find_versions(name: str, path: Path, default_version: str, policy: VersionPolicy) -> list[VersionSource]:
    """The versions of the model `name` to serve, lowest first.

    A path without version directories is the one version `default_version`; whether a model is there is
    left to its loading. A graph that generates text stands for its folder. Raises ModelNotFoundError for an
    unreadable directory and for a version given twice, ModelLoadFailedError.
    """
    directories = _version_directories(path)
    if not directories:
        return [VersionSource(name, default_version, whole_model(path))]
    numbers = sorted(directories)
    served = numbers[-1:] if policy is VersionPolicy.LATEST else numbers
    return [VersionSource(name, str(number), directories[number]) for number in served]


def check_labels(labels: Sequence[VersionLabel], sources: Sequence[VersionSource]) -> None:
    """Raise InvalidSettingsError for a label whose version is not served."""
    for label in labels:
        served = [source.version for source in sources if source.name == label.model]
        if label.version not in served:
            raise InvalidSettingsError(
                f"--version-label: {label.model}:{label.label} names version {label.version!r}, but the "
                f"versions served are {', '.join(served)}; choose one of them or --model-version-policy all"
            )


def _version_directories(path: Path) -> dict[int, Path]:
    """Version directories by number; none where the directory holds a model itself."""
    try:
        if not path.is_dir():
            return {}
        check_readable(path)
        if is_generative(path) or any(path.glob("*.onnx")):
            return {}
        entries = [entry for entry in path.iterdir() if _is_version(entry.name) and entry.is_dir()]
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(path)) from error
    except OSError as error:
        raise ModelNotFoundError(
            f"cannot read directory {str(path)!r} ({error.strerror}); check its permissions and its volume"
        ) from error
    directories = {int(entry.name): entry for entry in entries}
    if len(directories) != len(entries):
        raise ModelNotFoundError(
            f"directory {str(path)!r} holds a version twice, once with leading zeros; remove one"
        )
    return directories


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= _MAX_VERSION_DIGITS
