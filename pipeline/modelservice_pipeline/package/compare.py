"""What two artifacts differ in: files, description, inputs and outputs, figures."""

import tempfile
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import Blob, Content
from modelservice_pipeline.package.files import find_model, layer_path, read_files
from modelservice_pipeline.package.onnx_facts import OnnxFacts, TensorFacts, read_onnx
from modelservice_pipeline.package.summary import summarise, words
from modelservice_pipeline.report.report import table


def compare(old: Content, new: Content) -> dict[str, Any]:
    """Return what differs, as JSON can say it. Models that differ are read for their signatures."""
    before, after = summarise(old).facts, summarise(new).facts
    files = _compare_files(before["files"], after["files"])
    found: dict[str, Any] = {
        "same": before["digest"] == after["digest"],
        "digests": [before["digest"], after["digest"]],
        "files": files,
        "description": _changes(before["description"], after["description"]),
        "card": _changes(_without_figures(before["card"]), _without_figures(after["card"])),
        "figures": _changes(_figures(before["card"]), _figures(after["card"])),
        "tensors": {},
    }
    if before["model"] and after["model"] and before["model"]["sha256"] != after["model"]["sha256"]:
        found["tensors"] = _changes(_signature(old), _signature(new))
    return found


def show_comparison(found: dict[str, Any]) -> list[str]:
    """Return the sections for people."""
    if found["same"]:
        return [f"The same: {found['digests'][0]}"]
    sections = []
    rows = [
        (words(name), change, _size(sizes[0]), _size(sizes[1]))
        for name, change, sizes in ((one["path"], one["change"], one["sizeBytes"]) for one in found["files"])
    ]
    if rows:
        sections += ["## Files", table(("file", "", "before", "after"), rows)]
    for title, key in (
        ("Inputs and outputs", "tensors"),
        ("Figures", "figures"),
        ("Description", "description"),
        ("Card", "card"),
    ):
        if found[key]:
            lines = [(words(name), _value(pair[0]), _value(pair[1])) for name, pair in found[key].items()]
            sections += [f"## {title}", table(("what", "before", "after"), lines)]
    return sections or ["The same files and words, in another form."]


def _value(value: object) -> str:
    return "" if value is None else words(value)


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else str(size_bytes)


def _compare_files(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    old = {one["path"] or one["digest"]: one for one in before}
    new = {one["path"] or one["digest"]: one for one in after}
    rows = []
    for name in sorted(old.keys() | new.keys()):
        pair = old.get(name), new.get(name)
        change = "added" if pair[0] is None else "removed" if pair[1] is None else "changed"
        if pair[0] and pair[1] and pair[0]["digest"] == pair[1]["digest"]:
            continue
        sizes = [None if one is None else one["sizeBytes"] for one in pair]
        rows.append({"path": name, "change": change, "sizeBytes": sizes})
    return rows


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    names = [*before, *(name for name in after if name not in before)]
    return {
        name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)
    }


def _without_figures(card: dict[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in card.items() if name != "model-index"}


def _figures(card: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a card by data set and metric; what is not well formed is passed over."""
    found = {}
    index = card.get("model-index")
    try:
        for entry in index if isinstance(index, list) else ():
            for result in entry["results"]:
                for metric in result["metrics"]:
                    name = metric.get("name") or metric["type"]
                    found[f"{result['dataset']['name']}: {name}"] = metric["value"]
    except (TypeError, KeyError, AttributeError):
        return {}
    return found


def _signature(content: Content) -> dict[str, Any]:
    facts = _read_model(content)
    if facts is None:
        return {}
    return {
        f"{kind} {one.name}": _describe(one)
        for kind, tensors in (("input", facts.inputs), ("output", facts.outputs))
        for one in tensors
    }


def _describe(tensor: TensorFacts) -> str:
    return f"{tensor.datatype} [{', '.join(str(size) for size in tensor.shape)}]"


def _read_model(content: Content) -> OnnxFacts | None:
    """Return what the model in an artifact says of itself; None where it is encrypted."""
    model = find_model(content)
    if model.path.endswith(".age"):
        return None
    layer = next((one for one in content.layers if layer_path(one) == model.path), None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _write(content, layer, model.path, path)
        return read_onnx(path)


def _write(content: Content, layer: Blob | None, name: str, target: Path) -> None:
    with target.open("wb") as stream:
        if layer is not None:
            stream.writelines(layer.read())
            return
        for path, chunks in read_files(content):
            if path == name and chunks is not None:
                stream.writelines(chunks)
                return
    raise PipelineError(f"the artifact has no {name}, which it says is its model")
