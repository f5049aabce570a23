"""The models that the runtime's unit tests serve, and a server that has all of them."""

from tests.unit.runtime.conftest import model_files, server

__all__ = ["model_files", "server"]
