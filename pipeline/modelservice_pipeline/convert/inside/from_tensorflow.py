"""Converts Keras files and TensorFlow's SavedModel folders by tf2onnx."""

import os
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import Input, make_runs
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array, Case

# The newest that tf2onnx writes.
_OPSET = 18


def convert(job: Job) -> Converted:
    """Convert a .keras file or the folder of a SavedModel. Raises PipelineError."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for package in ("tensorflow", "tf2onnx"):
        import_or_explain(package)
    import tensorflow as tf

    function, inputs = _load_keras(job) if job.framework == "keras" else _load_saved(job)
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    answers = [_ask(function, inputs, run) for run in runs]
    import tf2onnx

    signature = [
        tf.TensorSpec([None if isinstance(size, str) else size for size in one.shape], one.dtype, one.name)
        for one in inputs
    ]
    flat = tf.function(lambda *values: _named(function(*values)), input_signature=signature)
    try:
        model, _ = tf2onnx.convert.from_function(flat, input_signature=signature, opset=_OPSET)
    except Exception as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{job.source.name} cannot be converted: {sentence}") from error
    names = [output.name for output in model.graph.output]
    cases = [
        Case(run, dict(zip(names, answer.values(), strict=True)))
        for run, answer in zip(runs, answers, strict=True)
    ]
    return Converted(model, cases, ("tensorflow-cpu", "keras", "tf2onnx"))


def _named(found: Any) -> dict[str, Any]:
    """Outputs by name, in the order of their names, as tf2onnx has them."""
    if isinstance(found, dict):
        return dict(sorted(found.items()))
    if isinstance(found, list | tuple):
        return {f"output_{index}": value for index, value in enumerate(found)}
    return {"output": found}


def _ask(function: Any, inputs: list[Input], run: dict[str, Array]) -> dict[str, Array]:
    import tensorflow as tf

    try:
        found = function(*(tf.constant(run[one.name]) for one in inputs))
    except Exception as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"the model does not take the samples: {sentence}") from error
    return {name: np.asarray(value) for name, value in _named(found).items()}


def _load_keras(job: Job) -> tuple[Any, list[Input]]:
    import keras

    try:
        model = keras.saving.load_model(job.source, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError) as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{job.source.name} cannot be read by Keras: {sentence}") from error
    inputs = [_input(one.name, one.dtype, one.shape) for one in model.inputs]

    def call(*values: Any) -> Any:
        return model(values[0] if len(values) == 1 else list(values), training=False)

    return call, inputs


def _load_saved(job: Job) -> tuple[Any, list[Input]]:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(job.source))
        signature = loaded.signatures["serving_default"]
    except (OSError, KeyError) as error:
        raise PipelineError(
            f"{job.source.name} is no SavedModel with the signature serving_default: {error}"
        ) from error
    specs = signature.structured_input_signature[1]
    inputs = [_input(name, spec.dtype.name, spec.shape) for name, spec in specs.items()]

    def call(*values: Any, _keep: Any = loaded) -> Any:
        return signature(**{one.name: value for one, value in zip(inputs, values, strict=True)})

    return call, inputs


def _input(name: str, dtype: str, shape: Any) -> Input:
    sizes = tuple(
        size if size is not None else ("batch" if axis == 0 else f"size_{axis}")
        for axis, size in enumerate(shape)
    )
    return Input(name, dtype, sizes)
