"""Models out of onnx's text format, with the domains of ONNX Runtime."""

from pathlib import Path

import onnx
from onnx import parser

from modelservice_runtime.onnx.rows import prove_rows


def parse(graph: str, opset: int = 17, functions: str = "") -> onnx.ModelProto:
    """A model of `graph`, such as `(float[n,4] x) => (float[n,4] y) {y = Relu(x)}`."""
    imports = f'"": {opset}, "ai.onnx.ml": 3, "com.microsoft": 1, "local": 1'
    return parser.parse_model(f"<ir_version: 8, opset_import: [{imports}]> g {graph}\n{functions}")


def obstacle(model: onnx.ModelProto) -> str | None:
    return prove_rows(memoryview(model.SerializeToString())).obstacle


def read_cases(name: str) -> dict[str, tuple[str, str]]:
    """The cases of a file below `graphs`: what stands behind the title's bar, and the graph, by title."""
    cases = {}
    for part in (Path(__file__).parent / "graphs" / name).read_text("utf-8").split("== ")[1:]:
        head, _, graph = part.partition("\n")
        title, _, more = head.partition(" | ")
        assert title not in cases
        cases[title] = (more, graph)
    return cases
