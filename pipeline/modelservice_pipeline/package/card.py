"""A model's card: README.md with the metadata that Hugging Face reads, and what we know of the model.

https://huggingface.co/docs/hub/model-cards. What a person wrote stays: our part stands between two marks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelservice_pipeline.package.evaluation import Evaluation, Figure
from modelservice_pipeline.package.folder import ModelFolder
from modelservice_pipeline.package.front_matter import join_card, split_card
from modelservice_pipeline.package.licences import as_expression, hub_licence
from modelservice_pipeline.package.modelpack import format_parameters
from modelservice_pipeline.package.onnx_facts import TensorFacts
from modelservice_pipeline.report.report import table

BEGIN, END = "<!-- modelservice: begin -->", "<!-- modelservice: end -->"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~$])")
_DIGITS = 4


@dataclass(frozen=True)
class CardRequest:
    """What is said of the model beside what its files say; empty where nothing is."""

    name: str
    licence: str = ""
    pipeline_tag: str = ""
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    summary: str = ""
    sha256: str = ""


def write_card(
    before: str | None, folder: ModelFolder, evaluations: Sequence[Evaluation], request: CardRequest
) -> str:
    """Return the text of a card: a new one, or `before` with our part and metadata brought up to date.

    Raises PipelineError where the metadata of `before` cannot be read.
    """
    known, body = split_card(before or "")
    metadata = _merge(known, _build_metadata(folder, evaluations, request))
    part = "\n\n".join([BEGIN, *_sections(folder, evaluations, request), END])
    return join_card(metadata, _put(body, part, request))


def find_described_model(card: str) -> str:
    """Return the SHA-256 of the model that our part of a card tells of; empty where there is no such part."""
    part = card.partition(BEGIN)[2].partition(END)[0]
    found = re.search(r"^\| sha256 +\| ([0-9a-f]{64}) \|$", part, re.MULTILINE)
    return found[1] if found else ""


def _put(body: str, part: str, request: CardRequest) -> str:
    start, end = body.find(BEGIN), body.find(END)
    if 0 <= start < end:
        return body[:start] + part + body[end + len(END) :]
    if body.strip():
        return f"{body.rstrip()}\n\n{part}\n"
    summary = f"{plain(request.summary)}\n\n" if request.summary else ""
    return f"# {plain(request.name)}\n\n{summary}{part}\n"


def _merge(known: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata: ours wins where it is there; figures of other models in an index stay."""
    merged = {**known, **{key: value for key, value in ours.items() if value}}
    if known.get("license") and hub_licence(as_expression(known["license"])) == ours["license"]:
        merged["license"] = known["license"]
    index = known.get("model-index")
    if isinstance(index, list) and ours.get("model-index"):
        names = {entry["name"] for entry in ours["model-index"]}
        others = [entry for entry in index if not isinstance(entry, dict) or entry.get("name") not in names]
        merged["model-index"] = [*others, *ours["model-index"]]
    tags = known.get("tags")
    if isinstance(tags, list):
        merged["tags"] = list(dict.fromkeys([*tags, *ours["tags"]]))
    return merged


def _build_metadata(
    folder: ModelFolder, evaluations: Sequence[Evaluation], request: CardRequest
) -> dict[str, Any]:
    task = request.pipeline_tag or guess_pipeline_tag(folder, evaluations)
    results = [_result(evaluation, task) for evaluation in evaluations if evaluation.figures]
    return {
        "license": hub_licence(request.licence),
        "library_name": "onnx",
        "pipeline_tag": task,
        "language": list(request.languages),
        "datasets": list(request.datasets),
        "tags": ["onnx", *request.tags],
        "model_name": request.name,
        "model-index": [{"name": request.name, "results": results}] if results else [],
    }


def _result(evaluation: Evaluation, task: str) -> dict[str, Any]:
    metrics = [
        {
            "type": figure.base,
            "value": round(figure.value, 6),
            "name": figure.name.replace("_", " "),
            **({"args": {"average": figure.average}} if figure.average else {}),
        }
        for figure in evaluation.figures
    ]
    dataset = {"name": evaluation.data_name, "type": _identifier(evaluation.data_name)}
    if evaluation.data_sha256:
        dataset["revision"] = f"sha256:{evaluation.data_sha256}"
    return {"task": {"type": task or evaluation.task}, "dataset": dataset, "metrics": metrics}


def guess_pipeline_tag(folder: ModelFolder, evaluations: Sequence[Evaluation]) -> str:
    """Return the Hub's name of the task, as far as inputs and reports tell; empty where they do not."""
    tasks = {evaluation.task for evaluation in evaluations}
    inputs = folder.facts.inputs if folder.facts else ()
    if len(tasks) != 1 or not inputs:
        return ""
    (task,) = tasks
    if all(one.datatype == "string" for one in inputs) and len(inputs) == 1:
        return "text-classification" if task == "classification" else ""
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and task == "classification":
        return "image-classification"
    if task in ("classification", "regression") and all(len(one.shape) <= 2 for one in inputs):
        return f"tabular-{task}"
    return ""


def _sections(folder: ModelFolder, evaluations: Sequence[Evaluation], request: CardRequest) -> list[str]:
    facts = folder.facts
    sections = []
    if facts is not None:
        rows = [_tensor_row("input", one) for one in facts.inputs]
        rows += [_tensor_row("output", one) for one in facts.outputs]
        sections += ["## Inputs and outputs", table(("kind", "name", "type", "shape"), rows)]
    for evaluation in evaluations:
        if evaluation.figures:
            sections += _evaluation_sections(evaluation)
    sections += ["## The model", table(("what", ""), _model_rows(folder, request))]
    return sections


def _evaluation_sections(evaluation: Evaluation) -> list[str]:
    rows = [_figure_row(figure) for figure in evaluation.figures]
    share = f"{evaluation.confidence:.0%}" if evaluation.confidence else "confidence"
    head = ("metric", "value", f"{share} interval")
    about = f"{evaluation.rows} rows of {plain(evaluation.data_name)}"
    pinned = f" (sha256 {evaluation.data_sha256})" if evaluation.data_sha256 else ""
    return [f"## Evaluation on {plain(evaluation.data_name)}", f"{about}{pinned}.", table(head, rows)]


def _figure_row(figure: Figure) -> tuple[str, str, str]:
    has_interval = figure.low is not None and figure.high is not None
    interval = f"{figure.low:.{_DIGITS}f} to {figure.high:.{_DIGITS}f}" if has_interval else ""
    return plain(figure.name.replace("_", " ")), f"{figure.value:.{_DIGITS}f}", interval


def _model_rows(folder: ModelFolder, request: CardRequest) -> list[tuple[str, str]]:
    rows = [("file", plain(folder.model)), ("sha256", request.sha256)]
    if folder.facts is not None:
        rows.append(("opset", str(folder.facts.opset or "none of the standard")))
        size = format_parameters(folder.facts.parameters) or str(folder.facts.parameters)
        rows += [("parameters", size)] if folder.facts.parameters else []
        rows += [("precision", ", ".join(folder.facts.precisions))] if folder.facts.precisions else []
    if "proof.json" in folder.files:
        rows.append(("proof", "proof.json: 'modelservice model verify' replays it anywhere"))
    return rows


def _tensor_row(kind: str, tensor: TensorFacts) -> tuple[str, str, str, str]:
    shape = " x ".join(str(size) for size in tensor.shape) or "one value"
    return kind, plain(tensor.name), tensor.datatype, plain(shape)


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(r"\\\1", line)


def _identifier(name: str) -> str:
    return re.sub("[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "data"
