"""Which models to serve, and which of their versions, as the command line names them."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model to serve: its name in the protocols, and a file or directory."""

    name: str
    path: Path


class VersionPolicy(StrEnum):
    """Which of the versions in a directory are served (TensorFlow Serving's `model_version_policy`)."""

    LATEST = "latest"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class VersionLabel:
    """A name such as `stable` for one version of a model."""

    model: str
    label: str
    version: str
