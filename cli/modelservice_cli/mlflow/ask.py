"""Asks a served model what MLflow asks: rows of a table or arrays by name, through the API server."""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.proxy import reach_service
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.arguments import add_endpoint_arguments, open_predictor


def ask(name: str, namespace: str | None, inputs: Any) -> dict[str, Any]:
    """Return the outputs of a model by their names, as lists.

    Args:
        name: Of the ModelService.
        namespace: Its own; None for that of the kubeconfig's context.
        inputs: A data frame, or arrays by the names of inputs.

    Raises:
        CommandError: The inputs do not fit the model, or the cluster does not answer.
        PipelineError: The model does not answer.
    """
    parser = argparse.ArgumentParser()
    add_endpoint_arguments(parser)
    arguments = parser.parse_args(["--namespace", namespace] if namespace else [])
    arguments.reach_service = reach_service
    predictor = open_predictor(name, arguments)
    answer = predictor.predict(to_arrays(predictor.inputs, inputs))
    return {key: value.tolist() for key, value in answer.items()}


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
