"""Converts functions of JAX by jax2onnx: `net.py:predict`, which takes the inputs in their order."""

from typing import Any

import numpy as np

from modelservice_pipeline.convert.fixes import rename_value
from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import make_runs, read_inputs
from modelservice_pipeline.convert.inside.user_code import load_function
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Case

# The oldest that jax2onnx writes; it is lowered afterwards where servers take none of it.
_OPSET = 23


def convert(job: Job) -> Converted:
    """Convert a function. Raises PipelineError."""
    for package in ("jax", "jax2onnx"):
        import_or_explain(package)
    import jax2onnx

    if not job.options.get("factory"):
        raise PipelineError("a model of JAX is code: give SOURCE as net.py:predict, a function of the inputs")
    function = load_function(job.source, job.options["factory"])
    inputs = read_inputs(job.options.get("inputs", ()), job.samples())
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    answers = [_ask(function, list(run.values())) for run in runs]
    try:
        model = jax2onnx.to_onnx(
            function, inputs=[one.shape for one in inputs], model_name=job.options["factory"], opset=_OPSET
        )
    except Exception as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"jax2onnx cannot convert {job.options['factory']}: {sentence}") from error
    names = [one.name for one in inputs]
    for value, name in zip(model.graph.input, names, strict=True):
        rename_value(model.graph, value.name, name)
        value.name = name
    outputs = [value.name for value in model.graph.output]
    cases = [
        Case(dict(zip(names, run.values(), strict=True)), dict(zip(outputs, answer, strict=True)))
        for run, answer in zip(runs, answers, strict=True)
    ]
    return Converted(model, cases, ("jax", "jax2onnx"))


def _ask(function: Any, values: list[Any]) -> list[Any]:
    try:
        found = function(*values)
    except Exception as error:
        shapes = ", ".join(str(value.shape) for value in values)
        raise PipelineError(
            f"the function does not take {shapes}: {error}; say with --input what it takes"
        ) from error
    return [np.asarray(one) for one in (found if isinstance(found, list | tuple) else [found])]
