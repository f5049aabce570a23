"""The parameters of an infer request that mean the same in every protocol; pure.

A parameter that is null counts as absent; what the server does not know is ignored, whatever its type.
Source: Triton, `extension_parameters.md` and `extension_binary_data.md`.
"""

from collections.abc import Mapping

from modelservice_runtime.errors import InvalidRequestError, UnsupportedOperationError


def flag_parameter(parameters: Mapping[str, object] | None, name: str, default: bool) -> bool:
    """Return a true-or-false parameter. Raises InvalidRequestError for anything else."""
    value = None if parameters is None else parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequestError(f"parameter '{name}' must be true or false")
    return value


def timeout_parameter(parameters: Mapping[str, object] | None) -> float | None:
    """The parameter `timeout`, given in microseconds, as seconds; None where it is absent or 0."""
    value = None if parameters is None else parameters.get("timeout")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise InvalidRequestError("parameter 'timeout' must be a positive integer, in microseconds")
    return value / 1e6 if value else None


def priority_parameter(parameters: Mapping[str, object] | None) -> int:
    """Triton's parameter `priority`: 1 is the most urgent, 0 (or none) leaves it to the server."""
    value = None if parameters is None else parameters.get("priority")
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise InvalidRequestError("parameter 'priority' must be an integer of at least 0; 1 is served first")
    return value


def refuse_shared_memory(parameters: Mapping[str, object]) -> None:
    """Raise UnsupportedOperationError for tensors that are not in the message."""
    if parameters.get("shared_memory_region") is not None:
        raise UnsupportedOperationError("shared memory is not supported; send the data in the request")


def refuse_output_extensions(parameters: Mapping[str, object]) -> None:
    """Raise UnsupportedOperationError for what a requested output cannot be."""
    for name in ("classification", "shared_memory_region"):
        if parameters.get(name) is not None:
            raise UnsupportedOperationError(f"the output parameter '{name}' is not supported")
