"""Objects of Kubernetes in a YAML file."""

import sys
from pathlib import Path
from typing import Any

import yaml

from modelservice_cli.errors import CommandError

Object = dict[str, Any]


def read_documents(path: str, kind: str) -> list[Object]:
    """Return the objects of this kind in a YAML file (`-`: standard input). Raises CommandError."""
    try:
        documents = list(yaml.safe_load_all(_read_text(path)))
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is not valid YAML: {error}") from None
    return [one for one in documents if isinstance(one, dict) and one.get("kind") == kind]


def the_only(found: list[Object], path: str, kind: str) -> Object:
    """Return the one object. CommandError: there is none, or there are several."""
    if len(found) != 1:
        raise CommandError(f"{path} holds {len(found)} objects of kind {kind}; one is needed")
    return found[0]


def _read_text(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"cannot read {path}: {cause}") from None
