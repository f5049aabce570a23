"""For tests of both families: whether this machine has IPv6, and threads that have none.

What a thread lacks the processes that it starts lack too.
"""

import ctypes
import fcntl
import os
import platform
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_SOCKET_CALL = {"x86_64": 41, "aarch64": 198}.get(platform.machine(), -1)
_EAFNOSUPPORT = 97
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def _has_ipv6_loopback() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6_loopback(), reason="this machine has no ::1")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_ipv6_sockets() -> None:
    """EAFNOSUPPORT for socket(AF_INET6), as after a boot with `ipv6.disable=1`: a seccomp filter."""
    instructions = b"".join(
        struct.pack("HBBI", code, jump_true, jump_false, operand)
        for code, jump_true, jump_false, operand in (
            (0x20, 0, 0, 0),  # load the number of the system call
            (0x15, 0, 3, _SOCKET_CALL),
            (0x20, 0, 0, 16),  # load its first argument
            (0x15, 0, 1, socket.AF_INET6),
            (0x06, 0, 0, 0x00050000 | _EAFNOSUPPORT),
            (0x06, 0, 0, 0x7FFF0000),  # allow
        )
    )
    program = _Program(6, instructions)
    assert _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def switch_ipv6_off() -> None:
    """A network namespace of its own with `disable_ipv6`; needs root."""
    if _LIBC.unshare(_CLONE_NEWNET) != 0:
        pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def enter_namespace(name: str) -> None:
    """Go on in a network namespace that `ip netns` lists; needs root."""
    with Path(f"/run/netns/{name}").open("rb") as namespace:
        if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")


def call_in_thread(restrict: Callable[[], None], work: Callable[[], T]) -> T:
    """Run `work` in a thread that `restrict` was called in, which ends with it."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(restrict).result()
        return thread.submit(work).result()
