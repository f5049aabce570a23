"""Stands for nvidia-ml-py: devices of which only the first tells its utilization."""

from types import ModuleType, SimpleNamespace


class NVMLError(Exception):
    pass


def make_nvml(devices: int, *, has_driver: bool = True) -> ModuleType:
    def start() -> None:
        if not has_driver:
            raise NVMLError("no driver")

    def utilization(handle: int) -> SimpleNamespace:
        if handle:
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=25)

    module = ModuleType("pynvml")
    functions = {
        "NVMLError": NVMLError,
        "nvmlInit": start,
        "nvmlSystemGetDriverVersion": lambda: b"580.1",
        "nvmlDeviceGetCount": lambda: devices,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=1000, used=100 + handle),
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetName": lambda handle: f"H{handle}",
        "nvmlDeviceGetUtilizationRates": utilization,
    }
    for name, function in functions.items():
        setattr(module, name, function)
    return module
