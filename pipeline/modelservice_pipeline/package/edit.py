"""Changes the lines of a manifest that name its model, and leaves the rest as a person wrote it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import yaml


def edit_model(text: str, wanted: Mapping[str, Any]) -> str | None:
    """Return the text of a manifest with another model; comments, order and quotes stay.

    Args:
        text: The YAML of one ModelService.
        wanted: What it is to say.

    Returns:
        None where lines are not enough: fields in braces, an image that becomes a file.
    """
    model = wanted["spec"]["model"]
    edited = text
    for key, after in (("storageUri", None), ("sha256", "storageUri")):
        found = _set(edited, key, model[key], after)
        if found is None:
            return None
        edited = found
    return edited if _reads_as(edited, wanted) else None


def _set(text: str, key: str, value: str, after: str | None) -> str | None:
    line = _line(key)
    count = len(line.findall(text))
    if count == 1:
        return line.sub(lambda match: f"{match[1]}{key}: {value}{match[2] or ''}", text)
    if count or after is None:
        return None
    return _line(after).sub(lambda match: f"{match[0]}\n{match[1]}{key}: {value}", text)


def _line(key: str) -> re.Pattern[str]:
    return re.compile(rf"^([ ]+){key}:[ ]+[^\s#][^#\n]*?([ ]+#.*)?$", re.MULTILINE)


def _reads_as(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        found: object = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return found == wanted
