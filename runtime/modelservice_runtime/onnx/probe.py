"""Which execution providers really start here: ONNX Runtime lists some whose libraries are missing."""

import onnxruntime as ort

from modelservice_runtime.onnx.errors import LOAD_ERRORS
from modelservice_runtime.onnx.execution_providers import short_name, uses_cuda
from modelservice_runtime.onnx.session import FATAL

# One Identity node, FP32 [1] -> FP32 [1], opset 13.
_SMALLEST_MODEL = (
    b'\x08\x07:;\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08'
    b"\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


def probe_providers() -> dict[str, bool]:
    """Short names of the providers of this ONNX Runtime, and whether each starts here."""
    available = ort.get_available_providers()
    if uses_cuda(available):
        ort.preload_dlls()
    return {short_name(provider): _starts(provider) for provider in available}


def onnxruntime_version() -> str:
    """The version of ONNX Runtime."""
    return str(ort.__version__)


def _starts(provider: str) -> bool:
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    try:
        session = ort.InferenceSession(_SMALLEST_MODEL, options, providers=[provider], enable_fallback=0)
    except LOAD_ERRORS:
        return False
    return provider in session.get_providers()
