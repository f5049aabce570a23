"""The small JSON and text files beside a model, read within limits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.machine.readable import open_file


def read_text(file: Path, max_bytes: int) -> str | None:
    """A file's text; None where there is none. Raises ModelLoadFailedError, ModelRejectedError."""
    try:
        with open_file(file) as opened:
            content = opened.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelLoadFailedError(f"cannot read {file.name} ({error.strerror})") from error
    if len(content) > max_bytes:
        raise ModelLoadFailedError(f"{file.name} is larger than {max_bytes} bytes; take the model's own file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelLoadFailedError(f"{file.name} is not UTF-8 text; take the model's own file") from error


def read_object(file: Path, max_bytes: int) -> Mapping[str, Any]:
    """A file's JSON object; empty where there is no file. Raises as `read_text` does."""
    content = read_text(file, max_bytes)
    return {} if content is None else parse_object(content, file.name)


def parse_object(content: str, name: str) -> Mapping[str, Any]:
    """The JSON object of a file called `name`. Raises ModelLoadFailedError."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelLoadFailedError(f"{name} is not JSON; take the model's own file") from error
    if not isinstance(values, dict):
        raise ModelLoadFailedError(f"{name} is not a JSON object; take the model's own file")
    return values
