"""A model's folder on disk: which file is the model, what belongs to it, what is left out.

A folder holds one model, with its external data, tokenizer, proof, card and licence; or folders called
1, 2, 3, ... with a version in each, as Triton and TensorFlow Serving lay models out; or what MLflow logged.
"""

import fnmatch
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.package.mlflow_folder import find_mlflow_model
from modelservice_pipeline.package.onnx_facts import OnnxFacts, read_onnx

MODEL_FILE = "model.onnx"
GENERATION_FILE = "genai_config.json"
"""What tells, beside a graph, how it generates text; it names the graph's file."""
ADAPTER_SUFFIX = ".onnx_adapter"
CARD_FILE = "README.md"
SERVICE_FILE = "modelservice.yaml"
MAX_FILES = 200
"""As many layers our fetcher reads."""

_SUFFIX, _ENCRYPTED = ".onnx", ".age"
_MAX_PART_BYTES, _MAX_PATH_BYTES, _MAX_PARTS = 255, 4096, 100
_FOREIGN = ("__pycache__", "*.pyc", "*.tmp", "*.lock", "Thumbs.db")


@dataclass(frozen=True)
class ModelFolder:
    """What is packaged.

    Attributes:
        files: Where each file lies, by its path in the artifact, sorted.
        model: The path of the model among them.
        version: Of a folder of versions the one that was taken; None where there are none.
        facts: What the model says of itself; None where it is encrypted.
        left_out: What of the folder is not packaged, and why.
    """

    files: Mapping[str, Path]
    model: str
    version: int | None
    facts: OnnxFacts | None
    left_out: Mapping[str, str]

    @property
    def card(self) -> str | None:
        """The text of its card; None where it has none. Raises PipelineError."""
        path = self.files.get(CARD_FILE)
        return None if path is None else read_text(path)


def read_folder(
    path: Path, *, model: str | None = None, version: int | None = None, exclude: Sequence[str] = ()
) -> ModelFolder:
    """Read a model's folder, or an ONNX file with the external data beside it.

    Args:
        path: The folder or file.
        model: Which file is the model, relative to the folder; by default `model.onnx`, else the only one.
        version: Of a folder of versions; by default the highest.
        exclude: Patterns of names or paths that are left out.

    Raises:
        PipelineError: There is no model, there are several, or a file cannot be packaged.
    """
    if path.is_file():
        return _read_single(path)
    if not path.is_dir():
        raise PipelineError(f"{path} does not exist: expected a folder with {MODEL_FILE}, or an ONNX file")
    number, roots = _choose_version(path, version)
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for root, is_deep in roots:
        _collect(root, files, left_out, is_deep=is_deep, exclude=exclude)
    chosen = _choose_model(path, files, model)
    for other in sorted(name for name in files if _is_model(name) and name != chosen):
        left_out[other] = "another model: an artifact holds one"
        del files[other]
    if len(files) > MAX_FILES:
        raise PipelineError(f"{path} has {len(files)} files, at most {MAX_FILES} fit: leave out by --exclude")
    return _checked(files, chosen, number, left_out)


def is_generative(model: str, files: Container[str]) -> bool:
    """Return whether the model at this path, among these, is one that generates text."""
    return f"{model.rpartition('/')[0]}/{GENERATION_FILE}".lstrip("/") in files


def read_text(path: Path) -> str:
    """Return the text of a file. Raises PipelineError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is not UTF-8 text") from None


def _read_single(path: Path) -> ModelFolder:
    if not _is_model(path.name):
        raise PipelineError(f"{path} is not called *.onnx: name an ONNX file, or the folder that it lies in")
    files = {path.name: path}
    if not path.name.endswith(_ENCRYPTED):
        files |= {name: path.parent / name for name in read_onnx(path).external_files}
    return _checked(files, path.name, None, {})


def _checked(
    files: Mapping[str, Path], model: str, version: int | None, left_out: Mapping[str, str]
) -> ModelFolder:
    """Return the folder with what its model says, once all that it needs is there."""
    facts = None if model.endswith(_ENCRYPTED) else read_onnx(files[model])
    folder = model.rpartition("/")[0]
    for location in facts.external_files if facts else ():
        name = clean_path(f"{folder}/{location}" if folder else location)
        if name not in files or not files[name].is_file():
            raise PipelineError(
                f"{model} keeps weights in {location}, which is not there: add it to the folder"
            )
    return ModelFolder(dict(sorted(files.items())), model, version, facts, dict(sorted(left_out.items())))


def _choose_version(path: Path, wanted: int | None) -> tuple[int | None, list[tuple[Path, bool]]]:
    """Return the version and where files come from; what lies beside versions (card, licence) is for each."""
    found = {int(one.name): one for one in path.iterdir() if one.is_dir() and one.name.isdecimal()}
    if not found:
        if wanted is not None:
            raise PipelineError(f"{path} has no versions: expected folders called 1, 2, ...")
        return None, [(path, True)]
    number = max(found) if wanted is None else wanted
    if number not in found:
        known = ", ".join(str(one) for one in sorted(found))
        raise PipelineError(f"{path} has no version {number}: expected one of {known}")
    return number, [(path, False), (found[number], True)]


def _collect(
    root: Path, files: dict[str, Path], left_out: dict[str, str], *, is_deep: bool, exclude: Sequence[str]
) -> None:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if is_deep and not _is_foreign(one))
        for name in sorted(name for name in names if not _is_foreign(name)):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            reason = _why_not(relative, exclude)
            if reason:
                left_out[relative] = reason
                continue
            files[clean_path(relative)] = _regular(path, root)


def _why_not(relative: str, exclude: Sequence[str]) -> str | None:
    name = relative.rpartition("/")[2]
    if any(fnmatch.fnmatch(relative, one) or fnmatch.fnmatch(name, one) for one in exclude):
        return "excluded"
    return "it names the artifact, so it cannot lie in it" if name == SERVICE_FILE else None


def _is_foreign(name: str) -> bool:
    """Whether it is of a tool: version control, caches, what was half written."""
    return name.startswith(".") or any(fnmatch.fnmatch(name, pattern) for pattern in _FOREIGN)


def _regular(path: Path, root: Path) -> Path:
    """Return a file of the folder itself: a link may lead to what nobody meant to publish."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise PipelineError(f"{path} is a link out of {root}: put the file itself there")
    if not path.is_file():
        raise PipelineError(f"{path} is not a regular file: remove it, or leave it out by --exclude")
    return path


def clean_path(path: str) -> str:
    """Return a path that every reader can store. Raises PipelineError."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    usable = (
        0 < len(parts) <= _MAX_PARTS
        and not path.startswith("/")
        and ".." not in parts
        and path.isprintable()
        and "\\" not in path
        and all(len(part.encode(errors="replace")) <= _MAX_PART_BYTES for part in parts)
        and len(path.encode(errors="replace")) <= _MAX_PATH_BYTES
    )
    if not usable:
        raise PipelineError(
            f"{path[:300]!r} cannot be a path in an artifact: expected at most {_MAX_PARTS} printable names, "
            "below the folder"
        )
    return "/".join(parts)


def _choose_model(path: Path, files: Mapping[str, Path], wanted: str | None) -> str:
    if wanted is None and "MLmodel" in files:
        wanted = find_mlflow_model(files["MLmodel"])
    if wanted is not None:
        name = clean_path(wanted)
        if name not in files:
            raise PipelineError(f"{path} has no file {wanted}: expected the path of the model in the folder")
        return name
    found = find_models(files)
    if len(found) != 1:
        listed = f" ({', '.join(found[:5])})" if found else ""
        hint = "" if found else " ('modelservice model convert' makes one of a framework's model)"
        raise PipelineError(
            f"{path} holds {len(found)} models{listed}: expected {MODEL_FILE}{hint}, or one that "
            "--model names"
        )
    return found[0]


def find_models(paths: Iterable[str]) -> list[str]:
    """Return what may be the model, as our fetcher chooses: of the nearest folders, `model.onnx` first."""
    models = sorted((one for one in paths if _is_model(one)), key=lambda one: (one.count("/"), one))
    plain = [one for one in models if not one.endswith(_ENCRYPTED)] or models
    nearest = [one for one in plain if one.count("/") == plain[0].count("/")]
    return [
        one for one in nearest if one.rpartition("/")[2].removesuffix(_ENCRYPTED) == MODEL_FILE
    ] or nearest


def _is_model(path: str) -> bool:
    return path.removesuffix(_ENCRYPTED).lower().endswith(_SUFFIX)
