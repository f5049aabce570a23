"""ModelRuntimes from a file of the installation, for an operator that may read nothing of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelservice_operator.api import InvalidSpec, parse_model_runtime
from modelservice_operator.facts.errors import OperatorError
from modelservice_operator.facts.kinds import MODEL_RUNTIMES
from modelservice_operator.facts.labels import INSTALLED_RUNTIME


def load_runtimes(path: str) -> list[dict[str, Any]]:
    """The ModelRuntimes in a YAML file, as if they had been read; raises OperatorError."""
    try:
        documents = list(yaml.safe_load_all(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorError(f"--runtimes: {path} cannot be read: {error}") from error
    runtimes = [_installed(path, document) for document in documents if document is not None]
    if not runtimes:
        raise OperatorError(
            f"--runtimes: {path} holds no ModelRuntime, so nothing could be served: write one."
        )
    return runtimes


def _installed(path: str, document: object) -> dict[str, Any]:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(document, dict) or document.get("kind") != MODEL_RUNTIMES.kind or not name:
        raise OperatorError(f"--runtimes: {path} holds something that is no ModelRuntime with a name.")
    try:
        parse_model_runtime(document)
    except InvalidSpec as error:
        raise OperatorError(f"--runtimes: ModelRuntime {name!r} in {path} is invalid: {error}") from error
    annotations = {**(document["metadata"].get("annotations") or {}), INSTALLED_RUNTIME: "true"}
    stored = {"uid": f"installed-{name}", "resourceVersion": "1", "annotations": annotations}
    return {**document, "metadata": {**document["metadata"], **stored}}
