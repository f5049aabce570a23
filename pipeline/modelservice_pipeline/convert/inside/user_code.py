"""Loads a function of the user's file, with what lies beside it."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError


def load_function(path: Path, name: str) -> Any:
    """Run the file and return what is called so in it. Raises PipelineError."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = code
    try:
        spec.loader.exec_module(code)
        return getattr(code, name)
    except Exception as error:
        raise PipelineError(f"{path.name}:{name} fails: {type(error).__name__}: {error}") from error
