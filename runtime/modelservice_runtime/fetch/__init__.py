"""Fetches model files: from registries, object stores and web servers into one directory.

Used by the init container (`modelservice_runtime.fetch.main`) and, through `fetch_model`,
by the command line. It knows nothing about ONNX Runtime or the server.
"""

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.fetcher import Decryption, FetchRequest, FetchResult, fetch_model
from modelservice_runtime.fetch.limits import TransferLimits

__all__ = [
    "Decryption",
    "FetchError",
    "FetchReason",
    "FetchRequest",
    "FetchResult",
    "TransferLimits",
    "fetch_model",
]
