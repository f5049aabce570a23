"""`modelservice model card`: a README.md with the metadata that Hugging Face reads, and our figures."""

import argparse
from pathlib import Path

from modelservice_pipeline.report.report import Report, print_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a model's folder")
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a report.json of 'evaluate --output DIR'; default: those in the folder",
    )
    parser.add_argument(
        "--title", default="", help="what the model is called; default: the card's, the folder's"
    )
    parser.add_argument("--license", metavar="SPDX", help="its licence, as in Apache-2.0")
    parser.add_argument("--summary", default="", metavar="TEXT", help="what the model is for, in a sentence")
    parser.add_argument("--pipeline-tag", default="", metavar="TASK", help="as in text-classification")
    for flag, what in (
        ("--language", "as in en"),
        ("--tag", "a word"),
        ("--dataset", "what it was trained on"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar="NAME", help=f"{what}; repeatable")
    parser.add_argument("--model", metavar="FILE", help="which file is the model; default: model.onnx")
    parser.add_argument("--print", action="store_true", help="print the card, write nothing")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write it. Raises PipelineError."""
    from modelservice_pipeline.errors import PipelineError
    from modelservice_pipeline.package.card import CardRequest, write_card
    from modelservice_pipeline.package.evaluation import find_evaluations
    from modelservice_pipeline.package.folder import CARD_FILE, read_folder
    from modelservice_pipeline.package.modelpack import file_blob
    from modelservice_pipeline.package.opening import describe

    if not arguments.folder.is_dir():
        raise PipelineError(f"{arguments.folder} is not a folder: a card lies beside its model, in a folder")
    folder = read_folder(arguments.folder, model=arguments.model)
    description = describe(folder, title=arguments.title, licence=arguments.license)
    evaluations = find_evaluations(folder, arguments.report)
    request = CardRequest(
        name=description.name or arguments.folder.resolve().name,
        licence=description.licence,
        pipeline_tag=arguments.pipeline_tag,
        languages=tuple(arguments.language),
        tags=tuple(arguments.tag),
        datasets=tuple(arguments.dataset),
        summary=arguments.summary,
        sha256=file_blob(folder.files[folder.model], "", {}).digest.removeprefix("sha256:"),
    )
    text = write_card(folder.card, folder, evaluations, request)
    if arguments.print:
        print(text, end="")
        return 0
    path = folder.files.get(CARD_FILE, arguments.folder / CARD_FILE)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror}") from None
    facts = {
        "card": str(path),
        "license": description.licence,
        "evaluations": [{"data": one.data_name, "rows": one.rows} for one in evaluations],
    }
    told = f"{path}: {description.licence or 'no licence'}, evaluations with figures: {len(evaluations)}"
    print_report(Report(f"Card of {request.name}", facts, [told]), as_json=arguments.json)
    return 0
