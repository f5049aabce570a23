"""The files of a proof: `proof.json` says what is what, `proof.npz` has the arrays; neither runs code."""

import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.check import check_kind, check_proof_is_sound
from modelservice_pipeline.proof.proof import Array, Case, Decision, Proof, Tolerance

JSON_NAME = "proof.json"
ARRAYS_NAME = "proof.npz"
_FORMAT = 1
# Far more than a proof needs, and little enough to hold beside a model.
_MAX_JSON_BYTES = 1 << 20
_MAX_ARRAY_BYTES = 256 << 20
# Zip files carry the time of their members; the same proof shall be the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
# What the readers raise for bytes that are not theirs. RuntimeError: a member that is encrypted or packed in
# an unknown way, and JSON that is nested deeper than Python calls itself.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def write_proof(proof: Proof, folder: Path) -> None:
    """Write both files into a folder. Raises PipelineError."""
    arrays: dict[str, Array] = {}
    cases = [
        {"inputs": _put(case.inputs, arrays), "outputs": _put(case.outputs, arrays)} for case in proof.cases
    ]
    document = {
        "format": _FORMAT,
        "model_sha256": proof.model_sha256,
        "tolerance": asdict(proof.tolerance),
        "labels": {name: asdict(decision) for name, decision in proof.labels.items()},
        "unproven": dict(proof.unproven),
        "has_thresholds": proof.has_thresholds,
        "versions": dict(proof.versions),
        "machine": dict(proof.machine),
        "cases": cases,
    }
    try:
        (folder / JSON_NAME).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        with zipfile.ZipFile(folder / ARRAYS_NAME, "w", zipfile.ZIP_DEFLATED) as file:
            for name, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
                member = zipfile.ZipInfo(f"{name}.npy", _NO_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(member, content.getvalue())
    except OSError as error:
        raise PipelineError(f"cannot write the proof into {folder}: {error.strerror}") from None


def _put(tensors: Mapping[str, Array], arrays: dict[str, Array]) -> dict[str, Any]:
    """Add tensors to `arrays`; return where each is. Texts are JSON, which keeps every character."""
    places = {}
    for name, tensor in tensors.items():
        key = f"array_{len(arrays)}"
        is_text = tensor.dtype.kind in "OU"
        places[name] = {"array": key, "shape": list(tensor.shape), "texts": is_text}
        texts = json.dumps(tensor.ravel().tolist()).encode() if is_text else b""
        arrays[key] = np.frombuffer(texts, np.uint8) if is_text else tensor
    return places


def read_proof(folder: Path) -> Proof:
    """Read the proof in a folder. Raises PipelineError where there is none, or none that proves anything."""
    proof = _read(folder)
    try:
        check_proof_is_sound(proof)
    except ValueError as error:
        raise _damaged(folder, error) from None
    return proof


def read_inputs(folder: Path) -> dict[str, Array]:
    """Read the inputs of the first case, which needs no outputs. Raises PipelineError as `read_proof`."""
    return dict(_read(folder).cases[0].inputs)


def _read(folder: Path) -> Proof:
    for name in (JSON_NAME, ARRAYS_NAME):
        if not (folder / name).is_file():
            raise PipelineError(
                f"there is no {name} beside the model in {folder}; `modelservice model convert` writes one"
            )
    try:
        with (folder / JSON_NAME).open("rb") as file:
            document = json.loads(file.read(_MAX_JSON_BYTES))
        if type(document["format"]) is not int or document["format"] != _FORMAT:
            raise PipelineError(
                f"{folder / JSON_NAME} has format {document['format']!r}; this version reads {_FORMAT}"
            )
        return _parse(document, _read_arrays(folder / ARRAYS_NAME))
    except OSError as error:
        raise PipelineError(f"cannot read the proof in {folder}: {error.strerror}") from None
    except _DAMAGE as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> PipelineError:
    return PipelineError(
        f"the proof in {folder} is damaged ({type(error).__name__}: {error}); convert the model again"
    )


def _read_arrays(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as file:
        if sum(member.file_size for member in file.infolist()) > _MAX_ARRAY_BYTES:
            raise PipelineError(
                f"{path} unpacks to more than {_MAX_ARRAY_BYTES >> 20} MiB; prove fewer inputs"
            )
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(file.read(name)), allow_pickle=False
            )
            for name in file.namelist()
        }


def _parse(document: Mapping[str, Any], arrays: Mapping[str, Array]) -> Proof:
    cases = tuple(
        Case(_take(case["inputs"], arrays), _take(case["outputs"], arrays)) for case in document["cases"]
    )
    if not cases:
        raise ValueError("it has no cases")
    return Proof(
        cases=cases,
        tolerance=Tolerance(**document["tolerance"]),
        labels={name: Decision(**decision) for name, decision in document["labels"].items()},
        unproven=dict(document.get("unproven", {})),
        has_thresholds=bool(document["has_thresholds"]),
        versions=dict(document["versions"]),
        machine=dict(document["machine"]),
        model_sha256=str(document["model_sha256"]),
    )


def _take(places: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: _tensor(place, arrays[place["array"]]) for name, place in places.items()}


def _tensor(place: Mapping[str, Any], array: Array) -> Array:
    if not place["texts"]:
        return check_kind(array).reshape(place["shape"])
    texts = json.loads(array.tobytes())
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is no text")
    tensor = np.empty(len(texts), object)
    tensor[:] = texts
    return tensor.reshape(place["shape"])
