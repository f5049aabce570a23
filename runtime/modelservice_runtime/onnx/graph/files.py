"""Which files a model is: the one with the graph, and those with its external data, behind whatever links.

Links are common: a cache of Hugging Face's has them in every snapshot, a ConfigMap's volume around every
file, and copies that share their content are hard links. They are followed as ONNX Runtime does since 1.26:
external data may lie anywhere below the model's own folder, or below the folder that the model file is linked
from; so no link makes the server read a file of somebody else's for weights, which its answers would tell.
"""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError

# Where a file really is, and what changes with it or its content.
_Identity: TypeAlias = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """`model` is the path to give to ONNX Runtime: the `locations` of external data lie beside it."""

    model: Path
    locations: tuple[str, ...] = ()
    _identities: tuple[_Identity, ...] = ()

    @property
    def external(self) -> list[Path]:
        """The files of external data."""
        return [self.model.parent / location for location in self.locations]

    def check_unchanged(self) -> None:
        """Raise ModelLoadFailedError unless the files are those that were checked; call it behind the load.

        Between check and load a link may come to lead elsewhere, by malice or because a volume is updated.
        """
        try:
            unchanged = find_model_files(self.model, self.locations) == self
        except OSError:
            unchanged = False
        if not unchanged:
            raise ModelLoadFailedError(
                "the model's files changed while they were loaded; start again once they are complete"
            )


NO_FILES = ModelFiles(Path())


def find_model_files(file: Path, locations: Collection[str]) -> ModelFiles:
    """The model `file` and the external data that it names, beside its path or beside what that links to.

    `locations` come from the model. Raises ModelRejectedError for absolute paths, '..', links that lead
    out of the model's folders and anything that is not a regular file; ModelLoadFailedError where a file is
    missing; OSError where the model itself is.
    """
    for location in locations:
        _check_spelling(location)
    path, real = file.absolute(), Path(os.path.realpath(file, strict=True))
    beside = all((path.parent / location).exists() for location in locations)
    model = path if beside else real
    folders = (Path(os.path.realpath(model.parent)), real.parent)
    found = [_identify(model.parent, location, folders) for location in sorted(locations)]
    return ModelFiles(model, tuple(sorted(locations)), (_identity(real), *found))


def _check_spelling(location: str) -> None:
    path = PurePosixPath(location)
    # ONNX Runtime reads "*/_ORT_MEM_ADDR_/..." as an address in memory.
    if not path.parts or path.is_absolute() or ".." in path.parts or location[0] == "*" or "\0" in location:
        raise ModelRejectedError(
            f"external data location {location[:200]!r} leads outside the model's directory; "
            "save the data as a file beside the model"
        )


def _identify(folder: Path, location: str, folders: Collection[Path]) -> _Identity:
    try:
        real = Path(os.path.realpath(folder / location, strict=True))
        identity = _identity(real)
        is_regular = stat.S_ISREG(real.lstat().st_mode)
    except PermissionError:
        raise
    except OSError:
        raise ModelLoadFailedError(
            f"external data file {location[:200]!r} is missing; fetch it together with the model"
        ) from None
    if not any(real.is_relative_to(allowed) for allowed in folders):
        raise ModelRejectedError(
            f"external data {location[:200]!r} is a link that leads outside the model's directory; "
            "put the file itself there, or link the model from the directory of its data too"
        )
    if not is_regular:
        raise ModelRejectedError(f"external data {location[:200]!r} must be a regular file")
    return identity


def _identity(real: Path) -> _Identity:
    found = real.stat()
    return (str(real), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
