"""A function of JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WEIGHTS = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")


def predict(x: Any) -> Any:
    """Classes of rows."""
    return jax.nn.softmax(jnp.tanh(x) @ WEIGHTS)
