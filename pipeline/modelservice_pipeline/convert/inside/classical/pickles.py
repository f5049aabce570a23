"""Reads a pickle or a joblib file: which runs the code in it, so it is read here and nowhere else."""

import warnings
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError


def load(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return the object, and what the user should know of it. Raises PipelineError."""
    import joblib

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = joblib.load(path)
        except ModuleNotFoundError as error:
            raise PipelineError(
                f"{path.name} needs the module {error.name!r}, which is not in this environment. {_OWN_CODE}"
            ) from None
        except AttributeError as error:
            raise PipelineError(f"{path.name} cannot be read: {error}. {_OWN_CODE}") from None
        except Exception as error:  # noqa: BLE001 - a pickle may raise anything
            raise PipelineError(
                f"{path.name} is no pickle or joblib file that can be read ({type(error).__name__}: {error})"
            ) from None
    versions = sorted(
        {str(one.message) for one in caught if "InconsistentVersion" in type(one.message).__name__}
    )
    return found, tuple(text.split(". This might")[0] for text in versions[:1])


_OWN_CODE = (
    "Classes and functions of your own have no counterpart in ONNX: build the model of what its framework "
    "brings, and do the rest before the request; if it is only a package that is missing, give --python the "
    "interpreter that has it"
)
