"""Converts networks of MindSpore: `net.py:make_net` with the checkpoint of its weights."""

from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.convert.fixes import rename_value
from modelservice_pipeline.convert.inside.job import MODEL_NAME, Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import Input, make_runs, read_inputs
from modelservice_pipeline.convert.inside.user_code import load_function
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array, Case


def convert(job: Job) -> Converted:
    """Convert a network. Raises PipelineError."""
    import_or_explain("mindspore")
    import onnx

    if not job.options.get("factory"):
        raise PipelineError(
            "a model of MindSpore is code: give SOURCE as net.py:make_net, a function or class of the "
            "network, and its checkpoint with --state net.ckpt"
        )
    network = _make_network(job)
    inputs = read_inputs(job.options.get("inputs", ()), job.samples())
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    answers = [_ask(network, run) for run in runs]
    # A size of 1 would be taken for one that is spread over others.
    example = next((run for run in runs if all(1 not in array.shape[:1] for array in run.values())), runs[0])
    _export(job, network, inputs, example)
    model = onnx.load(job.folder / MODEL_NAME)
    outputs = _name_outputs(model.graph)
    cases = [
        Case(run, dict(zip(outputs, answer, strict=True))) for run, answer in zip(runs, answers, strict=True)
    ]
    return Converted(model, cases, ("mindspore",))


def _make_network(job: Job) -> Any:
    """Call a function or class of the user's file, and load the weights. Raises PipelineError."""
    import mindspore

    mindspore.set_seed(0)
    factory = job.options["factory"]
    make = load_function(job.source, factory)
    try:
        network = make()
    except Exception as error:
        raise PipelineError(f"{job.source.name}:{factory} fails: {type(error).__name__}: {error}") from error
    if not isinstance(network, mindspore.nn.Cell):
        raise PipelineError(
            f"{job.source.name}:{factory} returns a {type(network).__name__}, not a mindspore.nn.Cell"
        )
    if job.options.get("state"):
        _load_state(network, Path(job.options["state"]))
    return network.set_train(False)


def _load_state(network: Any, path: Path) -> None:
    import mindspore

    try:
        missing, foreign = mindspore.load_param_into_net(
            network, mindspore.load_checkpoint(str(path)), strict_load=True
        )
    except Exception as error:
        raise PipelineError(f"{path.name} cannot be read as a checkpoint: {_shorten(error)}") from error
    if missing:
        raise PipelineError(f"the checkpoint {path.name} has no weights for {', '.join(missing[:5])}")
    if foreign:
        raise PipelineError(f"the checkpoint {path.name} has weights of another network: {foreign[0]}")


def _ask(network: Any, run: dict[str, Array]) -> list[Array]:
    import mindspore

    try:
        found = network(*(mindspore.Tensor(array) for array in run.values()))
    except Exception as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in run.items())
        raise PipelineError(
            f"the network does not take {shapes}: {_shorten(error)}; say with --input what it takes"
        ) from error
    return [np.asarray(one.asnumpy()) for one in (found if isinstance(found, list | tuple) else [found])]


def _export(job: Job, network: Any, inputs: list[Input], example: dict[str, Array]) -> None:
    import mindspore

    try:
        mindspore.onnx.export(
            network,
            *(mindspore.Tensor(array) for array in example.values()),
            file_name=str(job.folder / MODEL_NAME),
            input_names=list(example),
            dynamic_axes={one.name: one.varying for one in inputs if one.varying},
        )
    except Exception as error:
        raise PipelineError(f"MindSpore cannot export {job.source.name}: {_shorten(error)}") from error


def _name_outputs(graph: Any) -> list[str]:
    """Name the outputs; the exporter's own way loses what reads an output within the graph."""
    names = ["output"] if len(graph.output) == 1 else [f"output_{at}" for at in range(len(graph.output))]
    for value, name in zip(graph.output, names, strict=True):
        rename_value(graph, value.name, name)
        value.name = name
    return names


def _shorten(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
