"""Converts PyTorch's models: a function that makes the module, a program of torch.export, or TorchScript."""

import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.job import MODEL_NAME, Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import Input, make_runs, read_inputs
from modelservice_pipeline.convert.inside.user_code import load_function
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array, Case

# protobuf holds no more in one file, and the graph needs its part.
_MAX_SINGLE_FILE_BYTES = 1_500_000_000


def convert(job: Job) -> Converted:
    """Convert `net.py:make_net` with its weights, a .pt2 or a TorchScript file. Raises PipelineError."""
    for package in ("torch", "onnxscript"):
        import_or_explain(package)
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    if job.options.get("factory"):
        module = make_module(job.source, job.options["factory"], job.options.get("state"))
        return convert_module(job, module, read_inputs(job.options.get("inputs", ()), job.samples()))
    if job.source.suffix == ".pt2":
        return _convert_program(job)
    return _convert_script(job)


def make_module(path: Path, factory: str, state: str | None) -> Any:
    """Call a function or class of the user's file, and load the weights. Raises PipelineError."""
    import torch

    make = load_function(path, factory)
    try:
        module = make()
    except Exception as error:
        raise PipelineError(f"{path.name}:{factory} fails: {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise PipelineError(f"{path.name}:{factory} returns a {type(module).__name__}, not a torch.nn.Module")
    if state is not None:
        _load_state(module, Path(state))
    return module.eval()


def _load_state(module: Any, path: Path) -> None:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)
        module.load_state_dict(found)
    except pickle.UnpicklingError as error:
        raise PipelineError(
            f"{path.name} holds other objects than weights, such as a pickled module, or is damaged; save "
            "the weights alone: torch.save(net.state_dict(), PATH)"
        ) from error
    except Exception as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"the weights of {path.name} do not fit the module: {sentence}") from error


def convert_module(
    job: Job, module: Any, inputs: Sequence[Input], packages: tuple[str, ...] = ()
) -> Converted:
    """Convert a module whose `forward` takes the inputs by name. Raises PipelineError."""
    import torch

    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    tensors = [{name: torch.from_numpy(array) for name, array in run.items()} for run in runs]
    names, answers = _ask(lambda run: module(**run), tensors)
    varying = {name: torch.export.Dim(name) for one in inputs for name in one.varying.values()}
    shapes = {one.name: {axis: varying[name] for axis, name in one.varying.items()} for one in inputs}
    # A size of 1 would be taken for one that never varies.
    example = next(
        (run for run in tensors if all(1 not in value.shape[:1] for value in run.values())), tensors[0]
    )
    program = _export(
        job,
        lambda: torch.onnx.export(
            module,
            kwargs=example,
            dynamic_shapes=shapes if varying else None,
            input_names=list(example),
            output_names=names,
            opset_version=job.opset,
            dynamo=True,
            verbose=False,
        ),
    )
    _save(job, program)
    return _converted(runs, names, answers, packages)


def _has_rows(run: dict[str, Any]) -> bool:
    return all(value.ndim == 0 or value.shape[0] > 1 for value in run.values())


def _ask(model: Callable[[Any], Any], runs: Sequence[Any]) -> tuple[list[str], list[list[Array]]]:
    """The outputs' names, and what the model answers in each run. Raises PipelineError."""
    import torch

    names: list[str] = []
    answers = []
    for run in runs:
        try:
            with torch.no_grad():
                found = model(run)
        except Exception as error:
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in dict(run).items())
            raise PipelineError(
                f"the model does not take {shapes}: {type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}; say with --input what it takes"
            ) from error
        names, values = _flatten(found)
        answers.append([value.detach().cpu().numpy() for value in values])
    return names, answers


def _flatten(found: Any) -> tuple[list[str], list[Any]]:
    """Names and tensors of what a module returned."""
    if hasattr(found, "items"):
        pairs = [(str(name), value) for name, value in found.items()]
    elif isinstance(found, tuple | list):
        flat = _flat(found)
        pairs = [(f"output_{index}", value) for index, value in enumerate(flat)]
    else:
        pairs = [("output", found)]
    return [name for name, _ in pairs], [value for _, value in pairs]


def _flat(found: Any) -> list[Any]:
    if isinstance(found, tuple | list):
        return [one for part in found for one in _flat(part)]
    return [found]


def _export(job: Job, export: Callable[[], Any]) -> Any:
    """Run the exporter; its reason is often the innermost. Raises PipelineError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return export()
        except Exception as error:
            reason: BaseException = error
            while reason.__cause__ is not None:
                reason = reason.__cause__
            sentence = " ".join(str(reason).split())[:600]
            raise PipelineError(
                f"PyTorch cannot export {job.source.name}: {type(reason).__name__}: {sentence}"
            ) from error


def _save(job: Job, program: Any) -> None:
    sizes = (value.const_value.nbytes for value in program.model.graph.initializers.values())
    program.save(job.folder / MODEL_NAME, external_data=sum(sizes) > _MAX_SINGLE_FILE_BYTES)


def _converted(
    runs: Sequence[dict[str, Array]], names: list[str], answers: list[list[Array]], packages: tuple[str, ...]
) -> Converted:
    cases = [
        Case(run, dict(zip(names, map(np.asarray, answer), strict=True)))
        for run, answer in zip(runs, answers, strict=True)
    ]
    return Converted(None, cases, ("torch", "onnxscript", *packages))


def _convert_program(job: Job) -> Converted:
    """Convert what torch.export.save wrote; it knows its inputs."""
    import torch

    try:
        program = torch.export.load(job.source)
    except Exception as error:
        raise PipelineError(f"{job.source.name} is no program of torch.export: {error}") from error
    inputs = _program_inputs(program)
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    module = program.module()
    tensors = [{name: torch.from_numpy(array) for name, array in run.items()} for run in runs]
    positional = len(program.example_inputs[0])

    def call(run: dict[str, Any]) -> Any:
        values = list(run.values())
        return module(
            *values[:positional], **dict(zip(program.example_inputs[1], values[positional:], strict=True))
        )

    names, answers = _ask(call, tensors)
    exported = _export(
        job,
        lambda: torch.onnx.export(
            program,
            input_names=[one.name for one in inputs],
            output_names=names,
            opset_version=job.opset,
            dynamo=True,
            verbose=False,
        ),
    )
    _save(job, exported)
    return _converted(runs, names, answers, ())


def _program_inputs(program: Any) -> list[Input]:
    """The inputs as the program tells them: sizes that vary are symbols."""
    user = set(program.graph_signature.user_inputs)
    examples = [*program.example_inputs[0], *program.example_inputs[1].values()]
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    found = []
    for node, example in zip(nodes, examples, strict=True):
        shape = tuple(size if isinstance(size, int) else str(size) for size in node.meta["val"].shape)
        dtype = str(example.dtype).removeprefix("torch.")
        below = int(example.max()) + 1 if not example.is_floating_point() and example.numel() else 2
        found.append(Input(node.name, dtype, shape, max(below, 2)))
    return found


def _convert_script(job: Job) -> Converted:
    """Convert TorchScript, by the exporter that was made for it."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = torch.jit.load(str(job.source), map_location="cpu").eval()
        except RuntimeError as error:
            raise PipelineError(_explain_file(job.source, error)) from error
    inputs = read_inputs(job.options.get("inputs", ()), job.samples())
    runs = make_runs(inputs, job.samples(), job.rows, job.random)
    tensors = [{name: torch.from_numpy(array) for name, array in run.items()} for run in runs]
    names, answers = _ask(lambda run: module(*run.values()), tensors)
    _export(
        job,
        lambda: torch.onnx.export(
            module,
            tuple(tensors[0].values()),
            job.folder / MODEL_NAME,
            input_names=[one.name for one in inputs],
            output_names=names,
            dynamic_axes={one.name: one.varying for one in inputs},
            opset_version=min(job.opset, 18),
            dynamo=False,
        ),
    )
    return _converted(runs, names, answers, ())


def _explain_file(path: Path, error: Exception) -> str:
    """Say what a file is that is no TorchScript."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - torch raises many kinds
        return (
            f"{path.name} is neither TorchScript nor weights ({str(error).splitlines()[0][:200]}); a pickled "
            "module is not read: give the file with its class as SOURCE, net.py:Net, and weights with --state"
        )
    return (
        f"{path.name} has weights alone ({type(found).__name__}); give the code that makes the module as "
        "SOURCE, net.py:make_net, and this file with --state"
    )
