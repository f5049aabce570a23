"""Writes nodes into the graph that skl2onnx builds."""

from typing import Any

import numpy as np
from onnx import TensorProto


class Graph:
    """Adds nodes to the graph that skl2onnx builds; every method returns the name of its result."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def nodes(
        self, kind: str, *inputs: str, count: int, domain: str = "", version: int, **attributes: Any
    ) -> list[str]:
        """Add a node with several results."""
        outputs = [self._scope.get_unique_variable_name(kind.lower()) for _ in range(count)]
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(
            kind, list(inputs), outputs, op_domain=domain, op_version=version, name=name, **attributes
        )
        return outputs

    def node(self, kind: str, *inputs: str, version: int, **attributes: Any) -> str:
        """Add a node with one result."""
        return self.nodes(kind, *inputs, count=1, version=version, **attributes)[0]

    def constant(self, values: Any, kind: int = TensorProto.INT64) -> str:
        """Add an initializer, of int64 or another kind of `TensorProto`."""
        name = self._scope.get_unique_variable_name("constant")
        array = np.asarray(values)
        flat = array.ravel().tolist()
        self._container.add_initializer(
            name,
            kind,
            list(array.shape),
            [one.encode() for one in flat] if kind == TensorProto.STRING else flat,
        )
        return str(name)
