"""ONNX Runtime's exceptions as the server's own.

Their sentences have no error codes, source paths or line breaks.
"""

import re

from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from modelservice_runtime.errors import (
    DeadlineExceededError,
    DeviceLostError,
    InferenceFailedError,
    InputRefusedError,
    InvalidRequestError,
    ModelLoadFailedError,
    OutputTooLargeError,
    ServingError,
)
from modelservice_runtime.onnx.device_errors import is_device_lost

LOAD_ERRORS = (
    ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.InvalidGraph, ort_errors.InvalidProtobuf,
    ort_errors.NoModel, ort_errors.NoSuchFile, ort_errors.NotImplemented, ort_errors.RuntimeException,
    ort_errors.EPFail, RuntimeError, MemoryError, ValueError,
)  # fmt: skip
RUN_ERRORS = (
    ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.NotImplemented, ort_errors.RuntimeException,
    ort_errors.EPFail, RuntimeError, MemoryError, ValueError,
)  # fmt: skip

# A source file with its line, and the C++ signature behind it.
_SOURCE_LOCATION = re.compile(
    r"/?(?:[\w.+-]+/)*[\w+-]+\.(?:cc|h|cpp|cu|cuh):\d+\s+"
    r"(?:[^()]{0,200}::[^()]{0,200}(?:\(\))?\([^()]{0,2000}\)(?:\s+const)?(?:\s+\[[^\]]*\])?\s+)?"
)
_CODE_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model (?:from )?\S+ failed[:.]")
# The arena's limit, the kernel's, and C++'s word for the latter.
_NO_MEMORY = ("smaller than requested bytes", "allocate memory", "bad_alloc")
_OUT_OF_MEMORY = (*_NO_MEMORY, "Integer overflow", "shape.Size() must be")
# Of a node's refusal; what does not fit the signature is refused before any node runs.
_RUNNING_A_NODE = "returned while running"
_LOCALE = re.compile(r"construct locale with name:\s*([\w.@-]+)")


def lacks_memory(error: BaseException) -> bool:
    """Whether a run failed because there was no memory for it, then."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def translate_run_error(error: BaseException, *, terminated: bool, on_cuda: bool) -> ServingError:
    """What a failed run means to the client.

    `terminated` tells that the run was asked to stop; `on_cuda` that a CUDA device took part.
    """
    if on_cuda and is_device_lost(str(error)):
        return DeviceLostError("the accelerator of this server failed; send the request again")
    if isinstance(error, UnicodeDecodeError):
        return InferenceFailedError(
            "the model gave bytes that are not UTF-8 for a text; ONNX strings are UTF-8: export it again"
        )
    sentence = _sentence(error)
    if terminated:
        return DeadlineExceededError("the run was stopped at the request's deadline")
    if isinstance(error, ort_errors.InvalidArgument):
        kind = InputRefusedError if _RUNNING_A_NODE in sentence else InvalidRequestError
        return kind(f"the model refused the input: {sentence}")
    if isinstance(error, MemoryError) or any(text in sentence for text in _OUT_OF_MEMORY):
        return OutputTooLargeError(
            "the model could not get the memory this input needs; send a smaller input"
        )
    return InferenceFailedError(f"the model failed on this input: {sentence}")


def translate_load_error(error: BaseException) -> ModelLoadFailedError:
    """Why a model cannot be loaded, with the remedy where it is known."""
    locale = _LOCALE.search(str(error))
    if locale:
        return ModelLoadFailedError(
            f"the model's text operators need the locale {locale.group(1).rstrip(':')}, which is missing; "
            "generate it (Debian: package 'locales'), or export the model with locale='C.UTF-8'"
        )
    if lacks_memory(error):
        return ModelLoadFailedError(
            f"there is too little memory to load the model ({_sentence(error)}); "
            "raise the memory limit, or take a smaller model"
        )
    return ModelLoadFailedError(f"ONNX Runtime cannot load the model: {_sentence(error)}")


def _sentence(error: BaseException, limit: int = 400) -> str:
    text = _CODE_PREFIX.sub("", str(error))
    text = _SOURCE_LOCATION.sub("", text)
    return " ".join(text.split())[:limit].rstrip(" .")
