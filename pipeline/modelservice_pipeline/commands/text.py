"""`modelservice model text`: a tokenizer, and a model behind it, as one file that takes texts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.report.report import Report, print_report, table

if TYPE_CHECKING:
    import onnx
    from tokenizers import Tokenizer

    from modelservice_pipeline.text.join import Pooling

_COMPARED = 100  # texts whose answers are compared; tokens are compared for all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "tokenizer", type=Path, metavar="TOKENIZER", help="a tokenizer.json of Hugging Face, or its folder"
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="?",
        metavar="MODEL",
        help="an ONNX file that takes tokens; without it, tokens",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument(
        "--decode", action="store_true", help="the other way: take tokens, and answer their texts"
    )
    parser.add_argument(
        "--pool",
        choices=("none", "mean", "cls", "last"),
        default="none",
        help="make one vector of those of the tokens: their mean, the first or the last one",
    )
    parser.add_argument("--normalize", action="store_true", help="bring the vector to length 1")
    parser.add_argument("--pooled-output", metavar="NAME", help="what is pooled (default: the first output)")
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="tokens of a text at most (default: as the tokenizer says)",
    )
    parser.add_argument(
        "--fixed-length",
        action="store_true",
        help="pad as the tokenizer says, to a fixed length too (default: to the longest text of a batch)",
    )
    parser.add_argument(
        "--texts", type=Path, metavar="FILE", help="texts to compare, one a line, beside those that we bring"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Build, compare, write. Raises PipelineError; then no file is written."""
    from modelservice_pipeline.text.panics import panics_told

    with panics_told():
        model, facts = _build(arguments)
    _write(model, facts, arguments)
    return 0


def _build(arguments: argparse.Namespace) -> tuple["onnx.ModelProto", dict[str, Any]]:
    from modelservice_pipeline.text.join import Pooling, build_tokenizer
    from modelservice_pipeline.text.prove import load_library_tokenizer
    from modelservice_pipeline.text.tokenizer import read_tokenizer

    config = _read_config(arguments)
    pooling = Pooling(arguments.pool, arguments.normalize, arguments.pooled_output)
    if pooling.kind == "none" and (pooling.normalize or pooling.output):
        raise PipelineError("--normalize and --pooled-output are for pooled vectors; add --pool mean")
    texts = _read_texts(arguments.texts)
    if pooling.kind != "none" and arguments.model is None:
        raise PipelineError("--pool needs a MODEL, whose vectors are pooled")
    if arguments.decode:
        if arguments.model is not None:
            raise PipelineError("--decode is for a tokenizer alone; leave the MODEL out")
        model, facts = _build_decoder(config, texts)
    else:
        model = build_tokenizer(read_tokenizer(config))
        library = load_library_tokenizer(config)
        facts = {"texts": len(texts), **_prove_tokens(model, library, texts)}
        if arguments.model is not None:
            model, figures = _join(arguments.model, config, library, pooling, texts)
            facts |= figures
    return model, facts


def _write(model: "onnx.ModelProto", facts: dict[str, Any], arguments: argparse.Namespace) -> None:
    import onnx

    try:
        onnx.save(model, arguments.output)
    except OSError as error:
        raise PipelineError(f"cannot write {arguments.output}: {error.strerror}") from None
    facts |= {"model": str(arguments.output), "bytes": arguments.output.stat().st_size}
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items()]
    print_report(
        Report(f"Texts for {arguments.output.name}", facts, [table(("what", "figure"), rows)]),
        as_json=arguments.json,
    )


def _build_decoder(config: dict[str, Any], texts: list[str]) -> tuple["onnx.ModelProto", dict[str, Any]]:
    from modelservice_pipeline.text.decoders import read_spelling
    from modelservice_pipeline.text.join import build_detokenizer
    from modelservice_pipeline.text.prove import load_library_tokenizer, loaded, prove_texts

    model = build_detokenizer(read_spelling(config))
    with loaded(model) as session:
        return model, {"texts": prove_texts(session, load_library_tokenizer(config), texts)}


def _read_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the tokenizer.json with what the flags change."""
    from modelservice_pipeline.text.tokenizer import load_config

    path = arguments.tokenizer
    config = load_config(path / "tokenizer.json" if path.is_dir() else path)
    if arguments.max_length is not None:
        if arguments.max_length < 1:
            raise PipelineError(f"--max-length {arguments.max_length}: at least 1")
        given = config.get("truncation") or {"strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        config["truncation"] = {**given, "max_length": arguments.max_length}
    padding = config.get("padding")
    if padding and isinstance(padding["strategy"], dict) and not arguments.fixed_length:
        config["padding"] = {**padding, "strategy": "BatchLongest"}
    return config


def _read_texts(path: Path | None) -> list[str]:
    from modelservice_pipeline.text.corpus import TEXTS

    if path is None:
        return list(TEXTS)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PipelineError(f"{path} is not UTF-8") from None
    return [*TEXTS, *(line.removesuffix("\r") for line in lines if line)]


def _prove_tokens(model: "onnx.ModelProto", library: "Tokenizer", texts: list[str]) -> dict[str, Any]:
    from modelservice_pipeline.text.prove import loaded, measure_microseconds, prove_tokens

    with loaded(model) as session:
        prove_tokens(session, library, texts)
        return {"tokenizer_microseconds_a_text": measure_microseconds(session, texts)}


def _join(
    path: Path, config: dict[str, Any], library: "Tokenizer", pooling: "Pooling", texts: list[str]
) -> tuple["onnx.ModelProto", dict[str, Any]]:
    """Return the joined model, and how far its answers are from those of its parts."""
    from modelservice_pipeline.model.session import OnnxModel
    from modelservice_pipeline.text.join import Pooling, join, load_core, token_inputs
    from modelservice_pipeline.text.prove import loaded, prove_answers, prove_batches
    from modelservice_pipeline.text.tokenizer import read_tokenizer

    core = load_core(path)
    alone = {**config, "padding": None}
    with loaded(join(read_tokenizer(alone), core, Pooling())) as session:
        worst = prove_answers(session, OnnxModel(path), token_inputs(core), library, texts[:_COMPARED])
    joined = join(read_tokenizer(config), core, pooling)
    with loaded(joined) as session:
        apart = prove_batches(session, texts[:_COMPARED])
    return joined, {"largest_difference_to_the_model": worst, "largest_difference_in_a_batch": apart}
