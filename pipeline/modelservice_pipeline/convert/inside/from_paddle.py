"""Converts models of PaddlePaddle as `paddle.jit.save` writes them, by paddle2onnx."""

import os
from pathlib import Path

import numpy as np

from modelservice_pipeline.convert.inside.job import MODEL_NAME, Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import make_runs, read_inputs
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Case

_OPSET = 17


def convert(job: Job) -> Converted:
    """Convert net.json or net.pdmodel, with net.pdiparams beside it. Raises PipelineError."""
    # Its optimiser would otherwise install packages while it runs.
    os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
    for package in ("paddle", "paddle2onnx"):
        import_or_explain(package)
    import onnx
    import paddle
    import paddle2onnx

    weights = job.source.with_suffix(".pdiparams")
    if not weights.is_file():
        raise PipelineError(
            f"there is no {weights.name} beside {job.source.name}; paddle.jit.save writes both"
        )
    inputs = read_inputs(job.options.get("inputs", ()), job.samples())
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    try:
        layer = paddle.jit.load(str(job.source.with_suffix("")))
        layer.eval()
        found = [layer(*(paddle.to_tensor(array) for array in run.values())) for run in runs]
        target = job.folder / MODEL_NAME
        paddle2onnx.export(str(job.source), str(weights), str(target), opset_version=_OPSET, verbose=False)
    except Exception as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{job.source.name} cannot be converted: {sentence}") from error
    model = onnx.load(Path(target))
    names = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    cases = [
        Case(
            dict(zip(names, run.values(), strict=True)),
            dict(
                zip(
                    outputs,
                    map(np.asarray, answer if isinstance(answer, list | tuple) else [answer]),
                    strict=True,
                )
            ),
        )
        for run, answer in zip(runs, found, strict=True)
    ]
    return Converted(model, cases, ("paddlepaddle", "paddle2onnx"))
