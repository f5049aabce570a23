"""Which of a source's files is the model, and under which names files are stored. Pure."""

import posixpath
import re
from collections.abc import Collection, Iterable

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.models.text_files import FURTHER_NAMES, TOKENIZER_NAME, text_folders

MODEL_FILE = "model.onnx"
MODEL_SUFFIX = ".onnx"
ENCRYPTED_SUFFIX = ".age"
PROOF_FILES = ("proof.json", "proof.npz")
"""What a model that is verified has beside it; see `models.proof`."""
GENERATION_FILES = ("genai_config.json", "tokenizer.json")
"""What a model that generates text has beside it; see `generation`."""
OPTIONAL_GENERATION_FILES = ("tokenizer_config.json", "chat_template.jinja")
"""What it may have too."""
_MAX_PATH_BYTES = 4096
_MAX_PART_BYTES = 255
_MAX_SHOWN = 5
_OWN_PREFIX = ".fetch-"  # of files on their way
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]*")


def clean_path(path: str) -> str | None:
    """Return a relative path without empty and `.` parts, or None where it cannot be stored safely.

    Refused are absolute paths, `..`, backslashes, characters that are not printable, and parts or paths
    longer than file systems take.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    usable = (
        parts
        and not path.startswith("/")
        and ".." not in parts
        and path.isprintable()
        and "\\" not in path
        and not parts[0].startswith(_OWN_PREFIX)
        and all(len(part.encode(errors="replace")) <= _MAX_PART_BYTES for part in parts)
        and len(path.encode(errors="replace")) <= _MAX_PATH_BYTES
    )
    return "/".join(parts) if usable else None


def plain_path(path: str) -> str:
    """The path of a file without what tells that it is encrypted."""
    return path.removesuffix(ENCRYPTED_SUFFIX)


def describe_need(model: str, path: str) -> str:
    """Say why a file beside a model is needed, as the beginning of a sentence."""
    name = posixpath.basename(plain_path(path))
    if name in PROOF_FILES:
        return f"spec.model.verify needs the proof of {model}, {path}"
    if name in GENERATION_FILES:
        return f"spec.generation needs what tells how {model} generates text, {path}"
    return f"{model} keeps weights in {path}"


def is_model(path: str) -> bool:
    """Whether a file of this name is an ONNX model, encrypted or not; hidden ones (as of macOS) are not."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    return plain_path(path).lower().endswith(MODEL_SUFFIX) and not hidden


def find_models(paths: Iterable[str]) -> list[str]:
    """The candidates among `paths`: of the folders that are nearest, `model.onnx` before all others.

    Encrypted ones are candidates where there are no others.
    """
    found = {path for path in paths if is_model(path)}
    found = {path for path in found if plain_path(path) == path} or found
    models = sorted(found, key=lambda path: (path.count("/"), path))
    nearest = [path for path in models if path.count("/") == models[0].count("/")]
    return [path for path in nearest if posixpath.basename(plain_path(path)) == MODEL_FILE] or nearest


def choose_model(paths: Collection[str], remedy: str) -> str:
    """Choose the file that is the model.

    Args:
        paths: of all files, relative to what the URI names.
        remedy: what to do about several, for the message; `{path}` stands for one of them.

    Raises:
        FetchError: `ModelNotFound` where no file is a model, or where several may be.

    """
    found = find_models(paths)
    if len(found) == 1:
        return found[0]
    if not found:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"none of the {len(paths)} files ends in {MODEL_SUFFIX}{_describe(sorted(paths))}; "
            "check spec.model.storageUri",
        )
    raise FetchError(
        FetchReason.MODEL_NOT_FOUND,
        f"{len(found)} files may be the model{_describe(found)}; {remedy}".replace("{path}", found[-1]),
    )


def choose_file(paths: Collection[str], file: str, remedy: str) -> str:
    """Choose the file of this name, the one nearest to the top.

    Args:
        paths: of all files.
        file: the name, without a folder.
        remedy: what to do where there is none.

    Raises:
        FetchError: `ModelNotFound`, the reason of every file that is not there.

    """
    found = sorted(
        (path for path in paths if posixpath.basename(path) == file), key=lambda one: one.count("/")
    )
    if found:
        return found[0]
    raise FetchError(
        FetchReason.MODEL_NOT_FOUND, f"there is no {file} among the files{_describe(sorted(paths))}; {remedy}"
    )


def stored_name(path: str) -> str:
    """The name that a model gets in the destination: its own where that is plain, else `model.onnx`."""
    name = posixpath.basename(plain_path(path))
    plain = _PLAIN_NAME.fullmatch(name) and len(name) <= _MAX_PART_BYTES and name.endswith(MODEL_SUFFIX)
    return name if plain else MODEL_FILE


def join_path(model_path: str, location: str) -> str:
    """The path of a file that a model names; where the model at `model_path` is encrypted, it is so too.

    `location` is relative to the model's folder, or begins with `../` and is so to the one above.
    """
    suffix, folder = model_path[len(plain_path(model_path)) :], posixpath.dirname(model_path)
    if location.startswith("../"):
        folder, location = posixpath.dirname(folder), location[3:]
    return posixpath.join(folder, location) + suffix


def find_text_files(model_path: str, paths: Collection[str]) -> dict[str, str]:
    """Which of `paths` let the model read texts, by the names that they get beside it."""
    for folder in text_folders(model_path):
        found = {name: join_path(model_path, folder + name) for name in (TOKENIZER_NAME, *FURTHER_NAMES)}
        if found[TOKENIZER_NAME] in paths:
            return {name: path for name, path in found.items() if path in paths}
    return {}


def _describe(paths: list[str]) -> str:
    shown = ", ".join(paths[:_MAX_SHOWN])
    more = ", ..." if len(paths) > _MAX_SHOWN else ""
    return f" ({shown[:300]}{more})" if paths else ""
