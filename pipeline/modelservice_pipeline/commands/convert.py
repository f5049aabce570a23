"""`modelservice model convert`: from a framework's file to an ONNX model with its proof."""

import argparse
from pathlib import Path

from modelservice_pipeline.report.report import Report, emit, table

_FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "lightgbm",
    "torch",
    "transformers",
    "keras",
    "savedmodel",
    "jax",
    "paddle",
    "mindspore",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the framework's file or folder; of torch, jax and mindspore also FILE.py:FUNCTION",
    )
    parser.add_argument(
        "--from", dest="framework", choices=_FRAMEWORKS, required=True, help="the framework it is from"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", required=True, help="where model, proof and report go"
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="inputs to prove the model on: .csv with a header, .jsonl or .npz; made up without",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=TYPE[SIZE,...]",
        help="an input of a model that is code, as in x=float32[batch,10]; once for each",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="the weights for SOURCE's module, as torch.save or mindspore.save_checkpoint wrote them",
    )
    parser.add_argument("--rows", type=int, default=64, metavar="N", help="how many inputs to prove (64)")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="an interpreter with the framework and its converter, in place of an environment made for it",
    )
    parser.add_argument(
        "--timeout-seconds",
        type=float,
        default=900,
        metavar="N",
        help="how long the framework may take (900)",
    )
    parser.add_argument(
        "--relative-tolerance", type=float, default=1e-3, metavar="N", help="of an expected number (0.001)"
    )
    parser.add_argument(
        "--absolute-tolerance", type=float, default=1e-5, metavar="N", help="of an output's scale (0.00001)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Convert and prove. Raises PipelineError."""
    from modelservice_pipeline.convert.convert import Request, convert
    from modelservice_pipeline.convert.inputs import parse_input
    from modelservice_pipeline.convert.samples import read_samples
    from modelservice_pipeline.errors import PipelineError
    from modelservice_pipeline.model.session import OnnxModel
    from modelservice_pipeline.proof.check import check_tolerance
    from modelservice_pipeline.proof.proof import Tolerance

    tolerance = Tolerance(arguments.relative_tolerance, arguments.absolute_tolerance)
    try:
        check_tolerance(tolerance)
    except ValueError as error:
        raise PipelineError(f"{error}: a wider one would let another model pass") from None
    source, _, factory = arguments.source.partition(".py:")
    options: dict[str, object] = {"inputs": [parse_input(text) for text in arguments.input]}
    if factory:
        options["factory"] = factory
    if arguments.state:
        options["state"] = str(arguments.state.absolute())
    request = Request(
        arguments.framework,
        Path(f"{source}.py" if factory else source),
        samples=read_samples(arguments.samples) if arguments.samples else {},
        rows=arguments.rows,
        python=arguments.python,
        limit_seconds=arguments.timeout_seconds,
        options=options,
        tolerance=tolerance,
    )
    done = convert(request, arguments.output)
    model = OnnxModel(done.model)
    facts = {
        "model": str(done.model),
        "model_sha256": done.proof.model_sha256,
        "size_bytes": done.model.stat().st_size,
        "framework": arguments.framework,
        "versions": dict(done.proof.versions),
        "rows_proven": done.verdict.rows,
        "rows_on_threshold": done.verdict.on_threshold,
        "network_was_cut_off": done.is_isolated,
        "notes": list(done.notes),
    }
    ports = [("input", port) for port in model.inputs] + [("output", port) for port in model.outputs]
    signature = [
        (kind, port.name, port.dtype, " x ".join("any" if size is None else str(size) for size in port.shape))
        for kind, port in ports
    ]
    sections = [table(("kind", "name", "type", "shape"), signature), _describe(facts), *done.notes]
    emit(Report(f"Converted {arguments.source}", facts, sections), arguments)
    return 0


def _describe(facts: dict[str, object]) -> str:
    told_apart = (
        f"; {facts['rows_on_threshold']} of them lie on a threshold of a tree and may go either way"
        if facts["rows_on_threshold"]
        else ""
    )
    return (
        f"{facts['model']} ({facts['size_bytes']:,} bytes, sha256 {facts['model_sha256']}) answers as "
        f"{facts['framework']} does on {facts['rows_proven']} rows{told_apart}. The proof lies beside it: "
        f"`modelservice model verify` replays it anywhere."
    )
