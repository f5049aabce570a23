"""`modelservice model robustness`: how a model bears rows that are not clean, and its server wrong ones."""

import argparse
from typing import TYPE_CHECKING, Any

from modelservice_pipeline.data.arguments import add_data_arguments, load_data
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.arguments import (
    TARGET_HELP,
    add_endpoint_arguments,
    build_access,
    open_predictor,
)
from modelservice_pipeline.report.report import Report, add_output_arguments, emit

if TYPE_CHECKING:
    from modelservice_pipeline.data.dataset import Dataset
    from modelservice_pipeline.evaluate.outputs import Reading
    from modelservice_pipeline.predict.predictor import Predictor
    from modelservice_pipeline.robustness.changes import Score

_NOT_ROBUST = 3
_ROWS = 200
"""Of data, where the user says nothing: each perturbation asks for all of them again."""
_MAIN_METRICS = {"classification": "accuracy", "regression": "mae", "text": "chrf"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="MODEL", help=TARGET_HELP)
    add_data_arguments(parser)
    group = parser.add_argument_group("perturbations")
    group.add_argument(
        "--only", metavar="NAME,NAME...", help="these perturbations alone; default: all that apply"
    )
    group.add_argument(
        "--strength",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of words, letters or deviation (default: 0.1)",
    )
    group.add_argument(
        "--max-changed",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="exit with 3 where a perturbation changes more of the answers; repeatable",
    )
    group.add_argument(
        "--task", choices=("classification", "regression", "text"), help="what the model is for"
    )
    group.add_argument("--output-name", metavar="NAME", help="the only output to look at")
    group.add_argument("--classes", metavar="NAME,NAME...", help="the model's classes in its order")
    group = parser.add_argument_group("the server")
    group.add_argument("--fuzz", action="store_true", help="send wrong requests too")
    group.add_argument("--stress", action="store_true", help="load it up to the knee of its latency too")
    group.add_argument("--most-clients", type=int, default=64, metavar="N", help="of --stress (default: 64)")
    group.add_argument(
        "--level-seconds", type=float, default=3.0, metavar="S", help="of --stress (default: 3)"
    )
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="may be loaded though it is not this machine",
    )
    add_endpoint_arguments(parser)
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Try it. Raises PipelineError."""
    from modelservice_pipeline.robustness.show import show_changes

    limits, names = _check(arguments)
    predictor = open_predictor(arguments.model, arguments)
    if arguments.rows is None:
        arguments.rows = _ROWS
    dataset = load_data(arguments, predictor.inputs, needs_label=False)
    facts: dict[str, Any] = {
        "model": arguments.model,
        "data": dataset.describe(),
        "notes": list(dataset.notes),
        "strength": arguments.strength,
        "seed": arguments.seed,
    } | _perturb(predictor, dataset, names, arguments)
    notes = ["\n".join(f"- {note}" for note in dataset.notes)] if dataset.notes else []
    sections, pictures = [*notes, *show_changes(facts)], {}
    if arguments.fuzz:
        sections.append(_fuzz(predictor, dataset, arguments, facts))
    if arguments.stress:
        section, pictures["load.png"] = _stress(predictor, dataset, arguments, facts)
        sections.append(section)
    facts["verdicts"] = _judge(limits, facts["perturbations"])
    sections += [f"- {verdict['sentence']}" for verdict in facts["verdicts"]]
    emit(
        Report(f"Robustness of {arguments.model}, {len(dataset)} rows", facts, sections, pictures), arguments
    )
    is_good = all(verdict["holds"] for verdict in facts["verdicts"]) and not facts.get("fuzz", {}).get(
        "wrong"
    )
    return 0 if is_good else _NOT_ROBUST


def _check(arguments: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    from modelservice_pipeline.robustness.changes import list_names
    from modelservice_pipeline.robustness.hosts import check_host

    if not 0 < arguments.strength <= 1:
        raise PipelineError(f"--strength {arguments.strength}: must be above 0 and at most 1")
    if arguments.stress and (arguments.most_clients < 1 or not 0.1 <= arguments.level_seconds <= 600):
        raise PipelineError("--most-clients must be at least 1, and --level-seconds 0.1 to 600")
    if arguments.fuzz or arguments.stress:
        if not arguments.model.startswith(("http://", "https://")):
            raise PipelineError(
                "--fuzz and --stress need a server: give the URL of a served model, not a file"
            )
        check_host(arguments.model, arguments.allow_host)
    known = list_names()
    names = arguments.only.split(",") if arguments.only else known
    limits = dict(_parse_limit(text) for text in arguments.max_changed)
    for name in (*names, *limits):
        if name not in known:
            raise PipelineError(f"there is no perturbation {name!r}; there are: {', '.join(known)}")
    return limits, names


def _parse_limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise PipelineError(f"--max-changed {text}: is not NAME=SHARE, as typos=0.05")
    return name, share


def _reading(arguments: argparse.Namespace) -> "Reading":
    from modelservice_pipeline.evaluate.outputs import Reading

    classes = tuple(arguments.classes.split(",")) if arguments.classes else ()
    return Reading(arguments.task, arguments.output_name, classes)


def _perturb(
    predictor: "Predictor", dataset: "Dataset", names: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    from modelservice_pipeline.evaluate.asking import ask
    from modelservice_pipeline.evaluate.decisions import read_decisions
    from modelservice_pipeline.evaluate.outputs import check_outputs
    from modelservice_pipeline.robustness.changes import Trial, measure_changes, perturb

    check_outputs(predictor.outputs)
    reading = _reading(arguments)
    before = ask(predictor, dataset, "Asking for the rows as they are")
    name, score = _choose_score(dataset, reading, before)
    trial = Trial(dataset, before, lambda outputs: read_decisions(outputs, reading), score)
    perturbed = perturb(dataset, names, arguments.strength, arguments.seed)
    return {
        "score": name,
        "score_before": score(before) if score else None,
        "perturbations": measure_changes(predictor, trial, perturbed),
    }


def _choose_score(dataset: "Dataset", reading: "Reading", before: Any) -> "tuple[str | None, Score | None]":
    """Return the figure of quality that labels allow, and its name."""
    if dataset.labels is None:
        return None, None
    from modelservice_pipeline.evaluate.metrics import METRICS
    from modelservice_pipeline.evaluate.outputs import read_answers
    from modelservice_pipeline.evaluate.resampling import compute_figure

    labels = dataset.labels
    metric = METRICS[_MAIN_METRICS[read_answers(before, labels, reading).task]]

    def score(outputs: Any) -> float:
        found = read_answers(outputs, labels, reading)
        return compute_figure(metric, found.labels, found.answers)

    return metric.title, score


def _fuzz(
    predictor: "Predictor", dataset: "Dataset", arguments: argparse.Namespace, facts: dict[str, Any]
) -> str:
    from modelservice_pipeline.predict.endpoint import EndpointPredictor
    from modelservice_pipeline.robustness.fuzz import describe_trials, fuzz_server
    from modelservice_pipeline.robustness.requests import build_document
    from modelservice_pipeline.robustness.show import show_fuzz

    assert isinstance(predictor, EndpointPredictor)
    right = build_document(dataset, predictor.inputs, predictor.constants.tensors, 0, 1)
    trials = fuzz_server(predictor.infer_url, right, build_access(arguments), arguments.seed)
    facts["fuzz"] = describe_trials(trials)
    return show_fuzz(facts["fuzz"])


def _stress(
    predictor: "Predictor", dataset: "Dataset", arguments: argparse.Namespace, facts: dict[str, Any]
) -> tuple[str, bytes]:
    from modelservice_pipeline.predict.endpoint import EndpointPredictor
    from modelservice_pipeline.robustness.requests import build_bodies
    from modelservice_pipeline.robustness.show import draw_levels, show_levels
    from modelservice_pipeline.robustness.stress import Plan, describe_levels, find_knee

    assert isinstance(predictor, EndpointPredictor)
    size = arguments.rows_per_request or 1
    bodies = build_bodies(dataset, predictor.inputs, predictor.constants.tensors, size)
    plan = Plan(arguments.most_clients, arguments.level_seconds)
    levels = find_knee(predictor.infer_url, bodies, build_access(arguments), plan)
    facts["stress"] = describe_levels(levels)
    return show_levels(levels), draw_levels(levels)


def _judge(limits: dict[str, float], facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    verdicts = []
    for name, limit in limits.items():
        found = [one for one in facts if one["name"] == name]
        if not found:
            raise PipelineError(f"--max-changed {name}: this perturbation changes no row of the data")
        rate = found[0].get("rate")
        holds = rate is not None and rate <= limit
        shown = "the model refuses such rows" if rate is None else f"{100 * rate:.1f} % of the answers change"
        sentence = f"{name}: {shown}, allowed {100 * limit:g} %: {'holds' if holds else 'fails'}"
        verdicts.append({"name": name, "limit": limit, "found": rate, "holds": holds, "sentence": sentence})
    return verdicts
