"""What a request names against what the model has: inputs, outputs, and the sentences about them; pure."""

from collections.abc import Collection, Container, Mapping, Sequence

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import TensorSpec

_SHOWN_TENSORS = 20
_SHOWN_NAME = 100


def describe_tensors(tensors: Sequence[TensorSpec]) -> str:
    """For error messages: `'x' FP32 [-1, 4], 'y' INT64 [-1]`; long lists are cut."""
    shown = ", ".join(tensor.describe() for tensor in tensors[:_SHOWN_TENSORS])
    hidden = len(tensors) - _SHOWN_TENSORS
    if not tensors:
        return "nothing"
    return shown if hidden <= 0 else f"{shown} and {hidden} more"


def find_input(spec: ModelSpec, name: object, seen: Container[str]) -> TensorSpec:
    """Return the input called `name`.

    Raises InvalidRequestError where the model has none of that name, or the request names it twice.
    """
    tensor = spec.input_by_name.get(name) if type(name) is str else None
    if tensor is None:
        named = isinstance(name, str) and name
        what = f"input {named[:_SHOWN_NAME]!r} is unknown" if named else "an input has no 'name'"
        raise InvalidRequestError(f"{what}; the model takes {describe_tensors(spec.inputs)}")
    if tensor.name in seen:
        raise InvalidRequestError(f"input '{tensor.name}' appears twice")
    return tensor


def check_complete(spec: ModelSpec, given: Mapping[str, object]) -> None:
    """Raise InvalidRequestError unless every input of the model is in `given`, which has no others."""
    if len(given) != len(spec.inputs):
        missing = [tensor for tensor in spec.inputs if tensor.name not in given]
        raise InvalidRequestError(f"missing input: {describe_tensors(missing)}")


def find_outputs(spec: ModelSpec, names: Collection[object]) -> tuple[str, ...]:
    """The names of the requested outputs, all where none is. Raises as `find_input` does."""
    check_output_count(spec, len(names))
    wanted: dict[str, None] = {}
    for name in names:
        wanted[find_output(spec, name, wanted)] = None
    return tuple(wanted) or spec.output_names


def check_output_count(spec: ModelSpec, count: int) -> None:
    """Raise InvalidRequestError where more outputs are requested than there are."""
    if count > len(spec.outputs):
        raise InvalidRequestError(f"{count} outputs are requested; the model has {len(spec.outputs)}")


def find_output(spec: ModelSpec, name: object, seen: Container[str]) -> str:
    """Return the name of a requested output. Raises InvalidRequestError as `find_input` does."""
    if type(name) is not str or name not in spec.output_by_name:
        if type(name) is str and name in spec.left_out:
            raise InvalidRequestError(
                f"output '{name}' is {spec.left_out[name]}, and cannot be served; "
                f"the model gives {describe_tensors(spec.outputs)}"
            )
        named = isinstance(name, str) and name
        what = f"output {named[:_SHOWN_NAME]!r} is unknown" if named else "an output has no 'name'"
        raise InvalidRequestError(f"{what}; the model gives {describe_tensors(spec.outputs)}")
    if name in seen:
        raise InvalidRequestError(f"output '{name}' is requested twice")
    return name
