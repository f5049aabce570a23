"""`modelservice model evaluate`: what a model is worth on data, alone or against another."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelservice_pipeline.data.arguments import add_data_arguments, load_data, read_options
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.arguments import add_reading_arguments, make_reading
from modelservice_pipeline.predict.arguments import (
    TARGET_HELP,
    add_endpoint_arguments,
    open_predictor,
    read_constants,
)
from modelservice_pipeline.report.report import Report, add_output_arguments, emit

if TYPE_CHECKING:
    from modelservice_pipeline.data.dataset import Dataset
    from modelservice_pipeline.evaluate.figures import Settings
    from modelservice_pipeline.evaluate.limits import Limit
    from modelservice_pipeline.evaluate.outputs import Found

_NOT_GOOD_ENOUGH = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="MODEL", help=TARGET_HELP)
    add_data_arguments(parser)
    parser.add_argument(
        "candidate",
        nargs="?",
        metavar="MODEL2",
        help="another model, compared with the first on the same rows",
    )
    add_reading_arguments(parser)
    group = parser.add_argument_group("figures")
    group.add_argument(
        "--folds", type=int, default=0, metavar="K", help="figures of K even parts of the rows too"
    )
    group.add_argument(
        "--train",
        metavar="COMMAND",
        help="with --folds: train a model for each by this command, on the other rows; {data} and {model} "
        "in it are the file to read and the ONNX file to write",
    )
    group.add_argument("--leave-one-out", action="store_true", help="figures without each row in turn too")
    group.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="of intervals and bounds (default: 0.95)",
    )
    group.add_argument(
        "--resamples", type=int, metavar="N", help="of the bootstrap (default: 2000, fewer of many rows)"
    )
    group.add_argument(
        "--at-least",
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="exit with 3 where the figure is worse; repeatable",
    )
    group.add_argument(
        "--max-drop",
        action="append",
        default=[],
        metavar="METRIC=VALUE",
        help="exit with 3 where MODEL2 may lose more, by the bound; repeatable",
    )
    add_endpoint_arguments(parser)
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate. Raises PipelineError."""
    from modelservice_pipeline.evaluate.figures import choose_class, compute_figures
    from modelservice_pipeline.evaluate.limits import judge
    from modelservice_pipeline.evaluate.outputs import find_class
    from modelservice_pipeline.evaluate.plots import draw_pictures
    from modelservice_pipeline.evaluate.show import show_comparison, show_figures

    settings = _make_settings(arguments)
    limits = _parse_limits(arguments)
    words = _check_training(arguments)
    dataset, found = _ask(arguments.model, arguments)
    settings = replace(settings, positive=find_class(found, arguments.positive))
    facts: dict[str, Any] = _describe_run(arguments, dataset) | compute_figures(
        found, dataset.slices, settings
    )
    if words:
        facts["folds"] = _train(words, arguments, settings)
    facts["notes"] = [*facts["notes"], *dataset.notes]
    sections = show_figures(facts)
    candidate = None
    if arguments.candidate is not None:
        read, other = _ask(arguments.candidate, arguments)
        figures = compute_figures(other, dataset.slices, settings)
        figures["notes"] = [*figures["notes"], *read.notes]
        facts["candidate"] = {"model": arguments.candidate, **figures}
        facts["comparison"] = candidate = _compare(found, other, settings)
        names = tell_apart(arguments.model, arguments.candidate)
        sections.append(show_comparison(candidate, names))
        sections += [f"- {names[1]}: {note}" for note in read.notes]
    facts["verdicts"] = [judge(limit, facts) for limit in limits]
    sections += [f"- {verdict['sentence']}" for verdict in facts["verdicts"]]
    pictures = draw_pictures(found, choose_class(found, settings.positive)) if arguments.output else {}
    sections += [f"![{name.removesuffix('.png')}]({name})" for name in pictures]
    title = f"{_short(arguments.model)} on {dataset.name}, {len(dataset)} rows"
    emit(Report(title, facts, sections, pictures), arguments)
    return 0 if all(verdict["holds"] for verdict in facts["verdicts"]) else _NOT_GOOD_ENOUGH


def _make_settings(arguments: argparse.Namespace) -> "Settings":
    from modelservice_pipeline.evaluate.figures import Settings
    from modelservice_pipeline.evaluate.resampling import Bootstrap

    if not 0.5 <= arguments.confidence < 1:
        raise PipelineError(f"--confidence {arguments.confidence}: must be at least 0.5 and below 1")
    if arguments.resamples is not None and not 1 <= arguments.resamples <= 1_000_000:
        raise PipelineError(f"--resamples {arguments.resamples}: must be 1 to 1000000")
    if arguments.folds == 1 or arguments.folds < 0:
        raise PipelineError(f"--folds {arguments.folds}: must be at least 2")
    how = Bootstrap(arguments.confidence, arguments.resamples, arguments.seed)
    return Settings(
        how, folds=arguments.folds, trains=arguments.train is not None, leave_one_out=arguments.leave_one_out
    )


def _ask(target: str, arguments: argparse.Namespace) -> "tuple[Dataset, Found]":
    from modelservice_pipeline.evaluate.asking import ask
    from modelservice_pipeline.evaluate.outputs import check_outputs, read_answers

    predictor = open_predictor(target, arguments)
    check_outputs(predictor.outputs)
    dataset = load_data(arguments, predictor.inputs)
    assert dataset.labels is not None
    reading = make_reading(arguments)
    return dataset, read_answers(ask(predictor, dataset, f"Asking {_short(target)}"), dataset.labels, reading)


def _check_training(arguments: argparse.Namespace) -> list[str]:
    from modelservice_pipeline.evaluate.training import check_command

    if arguments.train is None:
        return []
    if not arguments.folds:
        raise PipelineError("--train needs --folds K: a model is trained for each of K folds")
    if arguments.part is not None or arguments.rows is not None:
        raise PipelineError("--train takes all rows of the file: leave out --part and --rows")
    return check_command(arguments.train)


def _train(words: list[str], arguments: argparse.Namespace, settings: "Settings") -> dict[str, Any]:
    from modelservice_pipeline.evaluate.training import train_on_folds

    options = read_options(arguments)
    return train_on_folds(
        arguments.data, options, make_reading(arguments), words, settings, read_constants(arguments)
    )


def _describe_run(arguments: argparse.Namespace, dataset: "Dataset") -> dict[str, Any]:
    return {
        "model": arguments.model,
        "data": dataset.describe(),
        "confidence": arguments.confidence,
        "seed": arguments.seed,
    }


def _compare(found: "Found", other: "Found", settings: "Settings") -> list[dict[str, Any]]:
    from dataclasses import asdict

    import numpy as np

    from modelservice_pipeline.evaluate.figures import (
        choose_class,
        limit_resamples,
        select_metrics,
        to_number,
    )
    from modelservice_pipeline.evaluate.resampling import compute_figure, paired_bootstrap

    if found.task != other.task:
        raise PipelineError(
            f"the first model is for {found.task}, the second for {other.task}: say it with --task"
        )
    if not np.array_equal(found.labels, other.labels):
        one, another = found.labels.tolist()[0], other.labels.tolist()[0]
        raise PipelineError(
            f"to one model the first label is {one!r}, and {another!r} to the other: compare models that "
            "answer alike, both with texts or both with numbers"
        )
    positive = choose_class(found, settings.positive, other)
    both = [metric for metric in select_metrics(found) if metric in select_metrics(other)]
    defined = [
        metric
        for metric in both
        if np.isfinite(
            [compute_figure(metric, one.labels, one.answers, positive) for one in (found, other)]
        ).all()
    ]
    results = [
        paired_bootstrap(
            metric,
            found.labels,
            found.answers,
            other.answers,
            limit_resamples(metric, found, settings.how),
            positive,
        )
        for metric in defined
    ]
    return [
        {name: to_number(fact) if isinstance(fact, float) else fact for name, fact in asdict(each).items()}
        for each in results
    ]


def _parse_limits(arguments: argparse.Namespace) -> "list[Limit]":
    from modelservice_pipeline.evaluate.limits import parse_limit

    if arguments.max_drop and arguments.candidate is None:
        raise PipelineError("--max-drop compares two models: give MODEL2 after DATA")
    floors = [parse_limit(text, "--at-least", is_drop=False) for text in arguments.at_least]
    return floors + [parse_limit(text, "--max-drop", is_drop=True) for text in arguments.max_drop]


def tell_apart(first: str, second: str) -> tuple[str, str]:
    """Return what two models are called beside each other: as much of their paths as differs."""
    paths = first.rstrip("/").split("/"), second.rstrip("/").split("/")
    for count in range(1, max(map(len, paths)) + 1):
        short = ["/".join(path[-count:]) for path in paths]
        if short[0] != short[1]:
            return short[0], short[1]
    return "MODEL", "MODEL2"


def _short(target: str) -> str:
    return target.rstrip("/").rpartition("/")[2]
