"""`modelservice model explain`: why a model answers as it does to one input."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.arguments import TARGET_HELP, add_endpoint_arguments, open_predictor
from modelservice_pipeline.report.report import Report, add_output_arguments, emit

if TYPE_CHECKING:
    from modelservice_pipeline.data.dataset import Dataset
    from modelservice_pipeline.explain.explanation import Explanation
    from modelservice_pipeline.explain.request import Question
    from modelservice_pipeline.predict.predictor import Predictor

_BACKGROUND_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", metavar="MODEL", help=TARGET_HELP)
    parser.add_argument(
        "given", nargs="?", metavar="INPUT", help="a text; for a model of numbers a row as JSON"
    )
    parser.add_argument("--input-file", type=Path, metavar="FILE", help="the input is in this file")
    parser.add_argument("--row", type=int, metavar="N", help="the input is row N of --background, from 0")
    parser.add_argument("--method", choices=("lime", "shap", "exact"), default="lime", help="default: lime")
    parser.add_argument("--samples", type=int, metavar="N", help="how many variants of the input are asked")
    parser.add_argument(
        "--features", type=int, default=10, metavar="N", help="how many lime may name; default: 10"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random; default: 0")
    parser.add_argument(
        "--answer", metavar="NAME", help="the output to explain; default: the first of floats"
    )
    parser.add_argument(
        "--index", type=int, metavar="N", help="which of its numbers, from 0; default: the largest"
    )
    parser.add_argument(
        "--each-word", action="store_true", help="tell equal words of a text apart by where they stand"
    )
    _add_background(parser)
    add_endpoint_arguments(parser)
    add_output_arguments(parser)


def _add_background(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models of numbers")
    group.add_argument(
        "--background", type=Path, metavar="DATA", help="rows that are usual, such as the training data"
    )
    group.add_argument(
        "--background-rows",
        type=int,
        default=_BACKGROUND_ROWS,
        metavar="N",
        help=f"how many of them shap and exact average over; default: {_BACKGROUND_ROWS}",
    )
    group.add_argument("--label", metavar="COLUMN", help="a column with right answers, which is no input")
    group.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="a column of no use")


def run(arguments: argparse.Namespace) -> int:
    """Explain an answer. Raises PipelineError."""
    from modelservice_pipeline.explain.explain import Options
    from modelservice_pipeline.explain.request import Question, explain_given, explain_tensors

    _check(arguments)
    predictor = open_predictor(arguments.model, arguments)
    data = _read_background(arguments, predictor)
    options = Options(arguments.method, arguments.samples, arguments.features, arguments.seed)
    question = Question(
        options, arguments.answer, arguments.index, arguments.each_word, _names(predictor, data)
    )
    usual = _choose(arguments, data)
    given = _read_given(arguments, predictor, data)
    if given is None and arguments.row is not None:
        explanation = explain_tensors(predictor, _read_row(arguments, data), usual, question)
    else:
        explanation = explain_given(predictor, given, usual, question)
    report = _report(arguments, explanation, question, given)
    report.facts["backgroundRows"] = None if usual is None else len(next(iter(usual.values())))
    report.facts["notes"] = list(data.notes) if data is not None else []
    report.sections += report.facts["notes"]
    emit(report, arguments)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    sources = [arguments.given, arguments.input_file, arguments.row]
    if sum(source is not None for source in sources) != 1:
        raise PipelineError("give one input: INPUT, --input-file FILE or --row N")
    if arguments.row is not None and arguments.background is None:
        raise PipelineError("--row needs --background, whose row it is")
    for flag, least in (("samples", 2), ("features", 1), ("background_rows", 1), ("row", 0), ("seed", 0)):
        value = getattr(arguments, flag)
        if value is not None and value < least:
            raise PipelineError(f"--{flag.replace('_', '-')} {value}: must be at least {least}")


def _read_given(arguments: argparse.Namespace, predictor: "Predictor", data: "Dataset | None") -> Any:
    """Return the input as text or JSON; None where it is a row of the background, and no text."""
    from modelservice_pipeline.explain.inputs import find_text_input

    port = find_text_input(predictor.inputs)
    if arguments.row is not None:
        return None if port is None else str(_read_row(arguments, data)[port.name].flat[0])
    text = arguments.given
    if arguments.input_file is not None:
        try:
            text = arguments.input_file.read_text(encoding="utf-8")
        except OSError as error:
            raise PipelineError(f"cannot read {arguments.input_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PipelineError(f"{arguments.input_file} is not UTF-8 text") from None
    if port is not None:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        names = ", ".join(repr(port.name) for port in predictor.inputs)
        raise PipelineError(
            f"the input is no JSON: give a row as a list of numbers, or as an object with {names}"
        ) from None


def _read_background(arguments: argparse.Namespace, predictor: "Predictor") -> "Dataset | None":
    if arguments.background is None:
        return None
    from modelservice_pipeline.data.load import load_dataset
    from modelservice_pipeline.data.options import DataOptions

    options = DataOptions(
        label=arguments.label, needs_label=False, ignored=tuple(arguments.ignore), allow_nan=True
    )
    return load_dataset(arguments.background, predictor.inputs, options)


def _choose(arguments: argparse.Namespace, data: "Dataset | None") -> Any:
    """Rows of the background: all for lime, some for what averages over each of them."""
    from modelservice_pipeline.data.dataset import take_sample

    if data is None or arguments.method == "lime":
        return None if data is None else data.inputs
    return take_sample(data, arguments.background_rows, arguments.seed).inputs


def _read_row(arguments: argparse.Namespace, data: "Dataset | None") -> Any:
    if data is None or arguments.row >= len(data):
        raise PipelineError(f"--row {arguments.row}: the background has {len(data or ())} rows")
    return {name: array[arguments.row : arguments.row + 1] for name, array in data.inputs.items()}


def _names(predictor: "Predictor", data: "Dataset | None") -> list[str] | None:
    """Names of the columns of the background, where each value of a row has one."""
    if data is None or not data.columns:
        return None
    names = [name for port in predictor.inputs for name in data.columns[port.name]]
    sizes = [array[0].size for array in data.inputs.values()]
    return names if len(names) == sum(sizes) else None


def _report(
    arguments: argparse.Namespace, explanation: "Explanation", question: "Question", given: Any
) -> Report:
    from modelservice_pipeline.explain.show import to_html, to_png, to_sentences, to_table
    from modelservice_pipeline.explain.words import split_words

    pictures = {}
    if arguments.output is not None:
        words = split_words(given, each=question.each_word) if isinstance(given, str) else None
        pictures = {
            "explanation.html": to_html(explanation, words).encode(),
            "explanation.png": to_png(explanation),
        }
    return Report(
        f"Explanation of {explanation.target} by {explanation.method}",
        {"model": arguments.model, **explanation.to_document()},
        [to_table(explanation), "\n".join(to_sentences(explanation))],
        pictures,
    )
