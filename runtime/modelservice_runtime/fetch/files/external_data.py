"""Looks into a file: whether it is a model, and which files it needs, for weights may be in others."""

import mmap
from pathlib import Path

from modelservice_runtime.errors import ModelLoadFailedError, StartupError
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import clean_path
from modelservice_runtime.onnx.graph.scan import ModelScan, scan_model


def find_external_files(path: Path) -> list[str]:
    """Paths of the external data that the model at `path` names, relative to its own folder.

    A file that is no model, and one that the server will refuse, names nothing: the server says why, in a
    sentence of its own. So it is with locations that lead outside the model's folder.
    """
    try:
        scan = _scan(path)
    except (StartupError, ValueError) as error:
        log("the file cannot be read as a model", {"problem": str(error)})
        return []
    cleaned = {location: clean_path(location) for location in scan.external_locations}
    for location, usable in cleaned.items():
        if usable is None:
            log("a location of external data is not fetched", {"location": location[:200]})
    return sorted({usable for usable in cleaned.values() if usable is not None})


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
