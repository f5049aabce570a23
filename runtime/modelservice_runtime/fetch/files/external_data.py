"""Looks into a file: whether it is a model, and which files it needs, for weights may be in others."""

import mmap
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.errors import ModelLoadFailedError, StartupError
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import clean_path
from modelservice_runtime.models.text_files import takes_tokens
from modelservice_runtime.onnx.graph.scan import ModelScan, scan_model


@dataclass(frozen=True)
class Needs:
    """What a model wants from beside it.

    Attributes:
        external_files: paths of the external data that it names, relative to its own folder.
        takes_tokens: a tokenizer, where there is one, lets it read texts.

    """

    external_files: tuple[str, ...] = ()
    takes_tokens: bool = False


def find_external_files(path: Path) -> tuple[str, ...]:
    """See `Needs.external_files`."""
    return find_needs(path).external_files


def find_needs(path: Path) -> Needs:
    """Read what the model at `path` needs.

    A file that is no model, and one that the server will refuse, names nothing: the server says why, in a
    sentence of its own. So it is with locations that lead outside the model's folder.
    """
    try:
        scan = _scan(path)
    except (StartupError, ValueError) as error:
        log("the file cannot be read as a model", {"problem": str(error)})
        return Needs()
    cleaned = {location: clean_path(location) for location in scan.external_locations}
    for location, usable in cleaned.items():
        if usable is None:
            log("a location of external data is not fetched", {"location": location[:200]})
    external = sorted({usable for usable in cleaned.values() if usable is not None})
    return Needs(tuple(external), takes_tokens(scan.requested))


def explain_no_model(path: Path) -> str | None:
    """Why a file is no ONNX model at all; None for models, also for those that the server will refuse."""
    try:
        _scan(path)
    except ModelLoadFailedError as error:
        return error.sentence.partition(";")[0]
    except StartupError:
        return None
    return None


def _scan(path: Path) -> ModelScan:
    """Raises StartupError, and ValueError for an empty file."""
    with path.open("rb") as file:
        # Unmapped when the last slice is gone.
        return scan_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
