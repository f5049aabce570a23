"""NVIDIA devices as the driver's management library (NVML) sees them; needs the package nvidia-ml-py.

Where the package or a device is missing there is simply nothing to tell.
"""

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One device, or one slice of a device (MIG), now.

    `utilization` is from 0 to 1, None where the driver does not tell, as of slices.
    """

    uuid: str
    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    utilization: float | None


class GpuReader:
    """Reads the devices of an initialized NVML."""

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml: Any = nvml
        self.driver_version = _text(self._nvml.nvmlSystemGetDriverVersion())
        devices = [
            self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(self._nvml.nvmlDeviceGetCount())
        ]
        self._handles = [handle for device in devices for handle in self._find_slices(device) or [device]]

    def read(self) -> list[GpuDevice]:
        """Every device that still answers."""
        return [device for handle in self._handles if (device := self._read_device(handle)) is not None]

    def _find_slices(self, device: Any) -> list[Any]:
        """The slices of a device that this process sees; none where it is whole, or of before MIG."""
        nvml = self._nvml
        slices: list[Any] = []
        with suppress(nvml.NVMLError):
            for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
                with suppress(nvml.NVMLError):  # nothing in this place, or nothing of ours
                    slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index))
        return slices

    def _read_device(self, handle: Any) -> GpuDevice | None:
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError:
            return None
        try:
            utilization: float | None = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except nvml.NVMLError:
            utilization = None
        return GpuDevice(uuid, name, int(memory.total), int(memory.used), utilization)


class Gpus:
    """The devices of this machine, looked for when they are first read."""

    def __init__(self, load: Callable[[str], ModuleType] = importlib.import_module) -> None:
        self._load = load
        self._reader: GpuReader | None = None
        self.are_missing = False

    def read(self) -> list[GpuDevice]:
        """Every device that answers; may take long, the first time above all. Safe on any thread."""
        if self._reader is None and not self.are_missing:
            self._reader = open_gpus(self._load)
            self.are_missing = self._reader is None
        return [] if self._reader is None else self._reader.read()


def open_gpus(load: Callable[[str], ModuleType] = importlib.import_module) -> GpuReader | None:
    """A reader where there are devices to read, else None."""
    try:
        nvml: Any = load("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        reader = GpuReader(nvml)
    except nvml.NVMLError:
        return None
    return reader if reader.read() else None


def free_memory_bytes(number: int, reader: GpuReader | None) -> int | None:
    """What nobody uses of a device's memory; None where there is no such device. Safe on any thread.

    CUDA counts as the driver does where a process sees one device or one slice, as in a pod.
    """
    devices = [] if reader is None else reader.read()
    if number >= len(devices):
        return None
    return devices[number].memory_total_bytes - devices[number].memory_used_bytes


def _text(value: str | bytes) -> str:
    """Older bindings give bytes."""
    return value.decode() if isinstance(value, bytes) else value
