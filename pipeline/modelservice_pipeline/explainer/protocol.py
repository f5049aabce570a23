"""The body of a request, as KServe's V1 protocol has it, with settings of ours; pure.

`{"instances": [...], "background": [...], "parameters": {"method": "shap", "samples": 500}}`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.explain import METHODS, Method, Options
from modelservice_pipeline.explain.request import Question

MOST_INSTANCES = 16
MOST_ROWS = 200_000
"""Of the model, for one instance."""
_MOST_CELLS = 4_000_000
"""160 MB: a third of the memory that a pod has by default."""
_MOST_BACKGROUND_ROWS = 1000
_NUMBERS = {"samples": (2, 20_000), "features": (1, 1000), "seed": (0, 2**32), "index": (0, 10**6)}


@dataclass(frozen=True)
class Asked:
    """What a request asks: inputs, the background of rows (None where it has none), and how."""

    instances: list[Any]
    background: list[Any] | None
    question: Question


def parse_asked(document: Any, method: Method) -> Asked:
    """Read a request; `method` is for what names none. Raises PipelineError naming the field."""
    if not isinstance(document, Mapping):
        raise PipelineError("expected a JSON object with 'instances'")
    unknown = set(document) - {"instances", "background", "parameters"}
    if unknown:
        raise PipelineError(f"unknown field {min(unknown)!r}: known are instances, background, parameters")
    instances = _read_list(document, "instances", MOST_INSTANCES)
    if not instances:
        raise PipelineError("'instances' is missing or empty: give the inputs to explain")
    background = _read_list(document, "background", _MOST_BACKGROUND_ROWS)
    return Asked(instances, background, _read_question(document.get("parameters") or {}, method))


def _read_list(document: Mapping[str, Any], name: str, most: int) -> list[Any] | None:
    value = document.get(name)
    if value is not None and not isinstance(value, list):
        raise PipelineError(f"{name!r} is no array")
    if value is not None and len(value) > most:
        raise PipelineError(f"{name!r} has {len(value)} entries: {most} are the most")
    return value


def _read_question(parameters: Any, method: Method) -> Question:
    if not isinstance(parameters, Mapping):
        raise PipelineError("'parameters' is no object")
    known = {"method", "output", "eachWord", *_NUMBERS}
    unknown = set(parameters) - known
    if unknown:
        raise PipelineError(f"unknown parameter {min(unknown)!r}: known are {', '.join(sorted(known))}")
    numbers = {name: _read_number(parameters, name, *limits) for name, limits in _NUMBERS.items()}
    options = Options(
        _read_method(parameters.get("method", method)),
        numbers["samples"],
        numbers["features"] or 10,
        numbers["seed"] or 0,
        _MOST_CELLS,
    )
    output, each = parameters.get("output"), parameters.get("eachWord", False)
    if output is not None and not isinstance(output, str):
        raise PipelineError("parameter 'output': expected the name of an output")
    if not isinstance(each, bool):
        raise PipelineError("parameter 'eachWord': expected true or false")
    return Question(options, output, numbers["index"], each, most_rows=MOST_ROWS)


def _read_method(value: Any) -> Method:
    for method in METHODS:
        if value == method:
            return method
    raise PipelineError(f"parameter 'method': expected one of {', '.join(METHODS)}")


def _read_number(parameters: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise PipelineError(f"parameter {name!r}: expected a whole number from {least} to {most}")
    return value
