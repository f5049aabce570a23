"""Which CPU figures are from: 8-bit sums are fast, and right, on some only."""

import platform
from dataclasses import dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_TOLD = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "avx512_bf16", "asimddp", "i8mm")
_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class Cpu:
    """A CPU: its architecture, its name, and those of its flags that decide about 8 bits."""

    architecture: str
    name: str
    flags: tuple[str, ...]

    @property
    def has_dot_products(self) -> bool:
        """Whether it sums products of 8 bits in 32: without, sums of 16 bits saturate."""
        return any(flag in _DOT_PRODUCTS for flag in self.flags)

    def __str__(self) -> str:
        return f"{self.name or self.architecture} ({', '.join(self.flags) or 'no vector flags known'})"


def read_cpu(text: str | None = None) -> Cpu:
    """Return this machine's CPU; `text` is what Linux says in /proc/cpuinfo, and read there by default."""
    if text is None:
        try:
            text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
        except OSError:  # not Linux
            text = ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    present = set((fields.get("flags") or fields.get("features") or "").split())
    name = fields.get("model name") or platform.processor()
    return Cpu(platform.machine(), name, tuple(flag for flag in _TOLD if flag in present))
