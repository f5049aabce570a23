"""The stacks of threads, which count against the limit of memory from their first moment on."""

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from modelservice_runtime.errors import OverloadedError

# Eight times what ONNX Runtime's kernels need, an eighth of what most systems give.
STACK_BYTES = 1024 * 1024
# Room for pthread_attr_t, which has 56 bytes on 64-bit Linux.
_ATTRIBUTES_BYTES = 256

Result = TypeVar("Result")

# The size for new threads is one of the whole process.
_sizing = threading.Lock()


def use_small_stacks() -> None:
    """Give threads that start from now on, also those of libraries, a stack of 1 MiB.

    The default is mostly 8 MiB: the threads of a machine with 64 cores would fill a container's limit with
    memory that nobody touches. Other C libraries than glibc have small stacks by themselves.
    """
    threading.stack_size(STACK_BYTES)
    try:
        library = ctypes.CDLL(None)
        initialize, resize, apply = (
            library.pthread_attr_init,
            library.pthread_attr_setstacksize,
            library.pthread_setattr_default_np,
        )
    except (OSError, AttributeError):
        return
    attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
    initialize(attributes)
    resize(attributes, ctypes.c_size_t(STACK_BYTES))
    apply(attributes)


def run_on_stack(stack_bytes: int, work: Callable[[], Result]) -> Result:
    """Run what may go deep on a thread of its own, and wait for it.

    A stack that overflows ends the process. Raises what `work` does, and OverloadedError where there is no
    memory for such a stack.
    """
    found: Future[Result] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it, as of every executor
            found.set_exception(error)

    thread = threading.Thread(target=run, name="deep", daemon=True)
    with _sizing:
        others_bytes = threading.stack_size(stack_bytes)
        try:
            thread.start()
        except RuntimeError as error:
            raise OverloadedError("there is too little memory for this now; try again in 1 s") from error
        finally:
            threading.stack_size(others_bytes)
    return found.result()
