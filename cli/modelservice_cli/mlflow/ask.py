"""Asks a served model what MLflow asks: rows of a table or arrays by name, through the API server."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.wire import WireError, build_request, parse_answer, parse_ports

_PORT = 80


def ask(cluster: Cluster, namespace: str, name: str, model: str, inputs: Any) -> dict[str, Any]:
    """Return the outputs of a model by their names, as lists.

    Args:
        cluster: The API server, which passes the request on.
        namespace: Of the ModelService.
        name: Of the ModelService.
        model: What its model is called in the protocol.
        inputs: A data frame, or arrays by the names of inputs.

    Raises:
        CommandError: The inputs do not fit the model, or nobody answers.
    """
    path = f"v2/models/{model}"
    try:
        ports = parse_ports(json.loads(cluster.ask_service(namespace, name, _PORT, path, None)), "inputs")
        message = build_request(to_arrays(ports, inputs), binary=False)
        body = cluster.ask_service(namespace, name, _PORT, f"{path}/infer", message.body)
        return {key: value.tolist() for key, value in parse_answer(body, None).items()}
    except (WireError, ValueError) as error:
        raise CommandError(f"{name} did not answer with what the protocol says: {error}") from None


def to_arrays(ports: tuple[Port, ...], inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays for a model's inputs. Raises CommandError where they do not fit."""
    columns: Mapping[str, Any] = inputs.to_dict("list") if hasattr(inputs, "to_dict") else inputs
    if not isinstance(columns, Mapping):
        raise CommandError("the inputs: expected a table, or arrays by the names of inputs")
    names = [port.name for port in ports]
    try:
        if set(names) == set(columns):
            return {port.name: _column(port, columns[port.name]) for port in ports}
        if len(ports) == 1 and columns:  # a row of columns is a row of the one input
            rows = np.stack([np.asarray(values) for values in columns.values()], axis=1)
            return {names[0]: rows.astype(np.dtype(ports[0].dtype))}
    except (ValueError, TypeError) as error:
        raise CommandError(f"the inputs do not fit the model: {error}") from None
    raise CommandError(f"the model takes {', '.join(names)}, and was given {', '.join(map(str, columns))}")


def _column(port: Port, values: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(values).astype(np.dtype(port.dtype))
    return array[:, np.newaxis] if array.ndim == 1 and len(port.shape) == 2 else array
