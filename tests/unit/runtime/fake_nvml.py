"""Stands for nvidia-ml-py: devices of which only the first tells its utilization, and slices that do not."""

from types import ModuleType, SimpleNamespace


class NVMLError(Exception):
    pass


def make_nvml(devices: int, *, has_driver: bool = True, slices: int = 0) -> ModuleType:
    """`slices` of the first device are in the places 0, 2, 4 and so on."""

    def start() -> None:
        if not has_driver:
            raise NVMLError("no driver")

    def utilization(handle: int) -> SimpleNamespace:
        if handle:
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=25)

    def count_slices(handle: int) -> int:
        if not slices:
            raise NVMLError("not supported")
        return 7 if handle == 0 else 0

    def find_slice(_handle: int, index: int) -> int:
        if index % 2 or index // 2 >= slices:
            raise NVMLError("not found")
        return 100 + index

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
        "nvmlDeviceGetMaxMigDeviceCount": count_slices,
        "nvmlDeviceGetMigDeviceHandleByIndex": find_slice,
    }
    for name, function in functions.items():
        setattr(module, name, function)
    return module
