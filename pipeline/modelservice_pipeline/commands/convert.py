"""`modelservice model convert`: from a framework's file to an ONNX model with its proof."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice_pipeline.report.report import Report, emit, table

if TYPE_CHECKING:
    from modelservice_pipeline.convert.causal.closeness import Closeness
    from modelservice_pipeline.convert.convert import Request

_CAUSAL = "transformers-causal"
_FRAMEWORKS = (
    "sklearn",
    "xgboost",
    "lightgbm",
    "torch",
    "transformers",
    _CAUSAL,
    "keras",
    "savedmodel",
    "jax",
    "paddle",
    "mindspore",
)


_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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
        help="inputs to prove the model on, of language models prompts: .csv with a header, .jsonl or .npz; "
        "made up without",
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
    parser.add_argument(
        "--precision",
        choices=("int4", "int8", "fp16", "fp32"),
        help=f"of the weights, of {_CAUSAL} (fp32, which alone is proven the same)",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help=f"a LoRA adapter of the model, of {_CAUSAL}: a folder as peft saves it; once for each",
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
        "--absolute-tolerance",
        type=float,
        metavar="N",
        help=f"of an output's scale (0.00001; {_CAUSAL}: 0.001)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Convert and prove. Raises PipelineError."""
    request = _read_request(arguments)
    report = (
        _convert_text_model(request, arguments)
        if arguments.framework == _CAUSAL
        else _convert(request, arguments)
    )
    emit(report, arguments)
    return 0


def _read_request(arguments: argparse.Namespace) -> "Request":
    from modelservice_pipeline.convert.convert import Request
    from modelservice_pipeline.convert.inputs import parse_input
    from modelservice_pipeline.convert.samples import read_samples
    from modelservice_pipeline.errors import PipelineError
    from modelservice_pipeline.proof.check import check_tolerance
    from modelservice_pipeline.proof.proof import Tolerance

    _check_flags(arguments)
    is_text = arguments.framework == _CAUSAL
    absolute = arguments.absolute_tolerance
    if absolute is None:
        # Dozens of layers add up what each rounds.
        absolute = 1e-3 if is_text else 1e-5
    tolerance = Tolerance(arguments.relative_tolerance, absolute)
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
    if is_text:
        options["precision"] = arguments.precision or "fp32"
        options["adapters"] = _parse_adapters(arguments.adapter)
    return Request(
        arguments.framework,
        Path(f"{source}.py" if factory else source),
        samples=read_samples(arguments.samples) if arguments.samples else {},
        rows=arguments.rows,
        python=arguments.python,
        limit_seconds=arguments.timeout_seconds,
        options=options,
        tolerance=tolerance,
    )


def _check_flags(arguments: argparse.Namespace) -> None:
    """Raise PipelineError for what the framework does not know: ignored, it would be missed."""
    from modelservice_pipeline.errors import PipelineError

    is_text = arguments.framework == _CAUSAL
    if arguments.precision and not is_text:
        raise PipelineError(
            f"--precision is for {_CAUSAL}; other models are made smaller by `modelservice model compress`"
        )
    if arguments.adapter and not is_text:
        raise PipelineError(f"--adapter is for {_CAUSAL}; leave it out with --from {arguments.framework}")
    for flag, value in (("--input", arguments.input), ("--state", arguments.state)):
        if is_text and value:
            raise PipelineError(f"{flag} is for models that are code; leave it out with --from {_CAUSAL}")


def _parse_adapters(texts: list[str]) -> dict[str, str]:
    """The folders by the names of the adapters, which become names of files. Raises PipelineError."""
    from modelservice_pipeline.errors import PipelineError

    adapters: dict[str, str] = {}
    for text in texts:
        name, separator, folder = text.partition("=")
        if not separator or not folder or not _ADAPTER_NAME.fullmatch(name):
            raise PipelineError(
                f"--adapter {text!r} must have the form NAME=DIR, with a name of letters, digits, "
                "'.', '_' and '-'"
            )
        if name in adapters:
            raise PipelineError(f"--adapter: the name {name!r} is given twice")
        adapters[name] = str(Path(folder).absolute())
    return adapters


def _convert(request: "Request", arguments: argparse.Namespace) -> Report:
    from modelservice_pipeline.convert.convert import convert
    from modelservice_pipeline.model.session import OnnxModel

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
    return Report(f"Converted {arguments.source}", facts, sections)


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


def _convert_text_model(request: "Request", arguments: argparse.Namespace) -> Report:
    from dataclasses import asdict

    from modelservice_pipeline.convert.causal.convert import convert_causal

    done = convert_causal(request, arguments.output)
    closeness = done.closeness
    facts: dict[str, object] = {
        "model": str(done.model),
        "model_sha256": done.model_sha256,
        "size_bytes": done.size_bytes,
        "framework": arguments.framework,
        "precision": request.options["precision"],
        "is_proven": done.is_proven,
        "closeness": asdict(closeness),
        "adapters": {name: asdict(one) for name, one in done.adapters.items()},
        "versions": dict(done.proof.versions),
        "network_was_cut_off": done.is_isolated,
    }
    heads = (f"{facts['precision']} beside transformers", "", *(f"with {name}" for name in done.adapters))
    columns = [_describe_closeness(one) for one in (closeness, *done.adapters.values())]
    rows = [(row, *(column[row] for column in columns)) for row in columns[0]]
    sections = [table(heads, rows), _describe_text_model(facts)]
    if done.adapters:
        sections.append(_describe_adapters(done.model.parent, list(done.adapters)))
    return Report(f"Converted {arguments.source}", facts, sections)


def _describe_closeness(closeness: "Closeness") -> dict[str, str]:
    return {
        "tokens compared": str(closeness.tokens),
        "equal until the greedy texts part": _share(closeness.equal_tokens, closeness.tokens),
        "the same token is best": _share(closeness.same_best, closeness.tokens),
        "KL divergence, mean": f"{closeness.mean_divergence:.2g}",
        "KL divergence, worst": f"{closeness.worst_divergence:.2g}",
        "largest difference of two scores": f"{closeness.largest_difference:.2g}",
    }


def _describe_adapters(folder: Path, names: list[str]) -> str:
    flags = " ".join(f"--adapter m:{name}={folder}/adapters/{name}.onnx_adapter" for name in names)
    return f"Serve it with its adapters: `modelservice serve --model m={folder} {flags}`."


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"


def _describe_text_model(facts: dict[str, object]) -> str:
    size = f"{facts['size_bytes']:,} bytes with the files beside it"
    what = f"{facts['model']} ({size}, sha256 {facts['model_sha256']})"
    if facts["is_proven"]:
        return (
            f"{what} scores and takes the tokens that transformers do. The proof lies beside it: "
            "`modelservice model verify` replays it anywhere."
        )
    return (
        f"{what} answers otherwise than transformers by as much as the table says, which is what "
        f"{facts['precision']} costs; there is no proof, for it is another model."
    )
