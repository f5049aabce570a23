"""The stacks of threads, which count against the limit of memory from their first moment on."""

import ctypes
import threading

# Eight times what ONNX Runtime's kernels need, an eighth of what most systems give.
STACK_BYTES = 1024 * 1024
# Room for pthread_attr_t, which has 56 bytes on 64-bit Linux.
_ATTRIBUTES_BYTES = 256


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
