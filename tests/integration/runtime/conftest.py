"""The runtime as a process of its own; the models are those of its unit tests."""

from tests.unit.runtime.conftest import model_files, server

__all__ = ["model_files", "server"]
