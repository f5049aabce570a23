"""Names of the files an artifact may store. Pure."""

import re
from collections.abc import Sequence

from modelservice_runtime.fetch.errors import FetchError, FetchReason

MODEL_FILE = "model.onnx"
_MAX_NAME_LENGTH = 255
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]*")


def validate_file_name(name: str) -> str:
    """Return ``name`` if it is a plain file name.

    Raises:
        FetchError: ``ArchiveRefused`` for directories, dot files and unusual characters.

    """
    if len(name) > _MAX_NAME_LENGTH or _PLAIN_NAME.fullmatch(name) is None:
        raise FetchError(
            FetchReason.ARCHIVE_REFUSED,
            f"file name {name[:80]!r} is refused; use plain names of letters, digits and . _ - + = "
            "without directories",
        )
    return name


def choose_model_file(names: Sequence[str]) -> str:
    """Choose the file that is the model: ``model.onnx``, else the only ``*.onnx``.

    Raises:
        FetchError: ``ArchiveRefused`` for doubled names, ``ModelNotFound`` where there is no such file.

    """
    if len(set(names)) != len(names):
        raise FetchError(FetchReason.ARCHIVE_REFUSED, "two files have the same name; give every file its own")
    if MODEL_FILE in names:
        return MODEL_FILE
    models = [name for name in names if name.endswith(".onnx")]
    if len(models) != 1:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"{len(models)} of {len(names)} files end in .onnx; "
            f"there must be exactly one, or one named {MODEL_FILE}",
        )
    return models[0]
