"""Made-up inputs are what ONNX Runtime takes, whatever the datatype and the number of dimensions."""

import numpy as np
import pytest

from modelservice_runtime.onnx.made_up import Recipe, make_inputs
from modelservice_runtime.tensors import DATATYPES, Datatype, TensorSpec


@pytest.mark.parametrize("shape", [(), (2,), (-1, 3), (0, 2)])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("datatype", DATATYPES.values(), ids=DATATYPES)
def test_make_inputs_makes_arrays_of_the_shape(
    datatype: Datatype, constant: bool, shape: tuple[int, ...]
) -> None:
    made = make_inputs([TensorSpec("x", datatype, shape)], Recipe(constant=constant), rows=4)["x"]
    assert isinstance(made, np.ndarray)
    assert made.shape == tuple(4 if size == -1 else size for size in shape)
    assert made.dtype == datatype.numpy
    if constant:
        assert len(np.unique(made)) <= 1
