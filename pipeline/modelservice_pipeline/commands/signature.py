"""`modelservice model signature`: what a model takes and answers."""

import argparse
from pathlib import Path

from modelservice_pipeline.report.report import Report, add_output_arguments, emit, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="the ONNX file, or a folder with one")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show inputs and outputs. Raises PipelineError."""
    from modelservice_pipeline.model.session import OnnxModel

    model = OnnxModel(arguments.model)
    ports = [("input", port) for port in model.inputs] + [("output", port) for port in model.outputs]
    facts = [
        {"kind": kind, "name": port.name, "datatype": port.dtype, "shape": list(port.shape)}
        for kind, port in ports
    ]
    rows = [
        (kind, port.name, port.dtype, " x ".join("any" if size is None else str(size) for size in port.shape))
        for kind, port in ports
    ]
    report = Report(
        f"Signature of {model.path.name}",
        {"model": str(model.path), "tensors": facts},
        [table(("kind", "name", "type", "shape"), rows)],
    )
    emit(report, arguments)
    return 0
