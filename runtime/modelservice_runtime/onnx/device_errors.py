"""Errors after which a CUDA device answers nothing any more in this process; pure.

Such an error is sticky: every later call of the process fails with it, and only a new process gets a working
context. Source: CUDA Runtime API, `cudaError_t`, the codes whose description says that the process must be
terminated and relaunched, and those of hardware that has gone.
"""

import re

_STICKY_CODES = frozenset(
    {
        46,  # cudaErrorDevicesUnavailable
        100,  # cudaErrorNoDevice
        101,  # cudaErrorInvalidDevice: the device has fallen off the bus
        214,  # cudaErrorECCUncorrectable
        220,  # cudaErrorNvlinkUncorrectable
        700,  # cudaErrorIllegalAddress
        702,  # cudaErrorLaunchTimeout
        709,  # cudaErrorContextIsDestroyed
        710,  # cudaErrorAssert
        714,  # cudaErrorHardwareStackError
        715,  # cudaErrorIllegalInstruction
        716,  # cudaErrorMisalignedAddress
        717,  # cudaErrorInvalidAddressSpace
        718,  # cudaErrorInvalidPc
        719,  # cudaErrorLaunchFailure
        721,  # cudaErrorContained
    }
)
# ONNX Runtime: "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; ..."
_CODE = re.compile(r"\bcuda (?:failure|error):? (\d{1,4})\b", re.IGNORECASE)
# TensorRT: "Error Code 1: Cuda Runtime (an illegal memory access was encountered)". The name before the text
# keeps a model's own words, or a client's, from being taken for it.
_TEXT = re.compile(
    r"\bcuda[\w ]{0,40}[(:][^\n]{0,80}?"
    r"(?:illegal memory access|uncorrectable (?:ecc|nvlink) error|device-side assert"
    r"|unspecified launch failure|misaligned address|illegal instruction|hardware stack error"
    r"|launch timed out|context is destroyed|gpu is lost|no cuda-capable device)",
    re.IGNORECASE,
)


def is_device_lost(message: str) -> bool:
    """Whether an error's text, from a model on a CUDA device, says that this process has lost the device."""
    codes = {int(code) for code in _CODE.findall(message)}
    return bool(codes & _STICKY_CODES) or _TEXT.search(message) is not None
