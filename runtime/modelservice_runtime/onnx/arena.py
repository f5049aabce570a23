"""One arena for the tensors of all models on the CPU: bounded, and emptied where memory is needed elsewhere.

By itself ONNX Runtime gives each session an arena that doubles, never shrinks and knows no limit, so models
with inputs of many sizes fill any container. This one grows by what is asked for, and a region that nothing
uses goes back to the kernel when `shrink_arena` is called. Between calls freed tensors are kept: without
that, runs with tensors of 64 MB took six times as long.

Facts about ONNX Runtime this module relies on (1.31): an allocator that is registered with the environment
serves every session that is made with `session.use_env_allocators`; weights count against its limit; a run
with `memory.enable_memory_arena_shrinkage` frees the regions that are not used when it ends.
"""

import threading

import numpy as np
import onnxruntime as ort

from modelservice_runtime.onnx.errors import RUN_ERRORS

_USE_SHARED = ("session.use_env_allocators", "1")
_SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")
_FATAL = 4
# A tensor takes a free piece of the arena as a whole where this would be wasted, and splits larger ones.
_MAX_WASTED_BYTES = 256 * 1024
# A model that gives back its one number, so that there is a run that shrinks the arena (an ONNX ModelProto).
_IDENTITY = (
    b'\x08\x07\x12\x00:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

_lock = threading.Lock()
_session: ort.InferenceSession | None = None


def open_arena(limit_bytes: int) -> None:
    """Let every session on the CPU that is made from now on share an arena of at most `limit_bytes`."""
    global _session  # noqa: PLW0603 - ONNX Runtime's environment, too, is one for the process
    with _lock:
        if _session is None:
            kind, use = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
            configuration = {
                "max_mem": limit_bytes,
                "arena_extend_strategy": 1,  # as requested
                "max_dead_bytes_per_chunk": _MAX_WASTED_BYTES,
            }
            ort.create_and_register_allocator(
                ort.OrtMemoryInfo("Cpu", kind, 0, use), ort.OrtArenaCfg(configuration)
            )
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = _FATAL
            options.add_session_config_entry(*_USE_SHARED)
            _session = ort.InferenceSession(_IDENTITY, options, providers=["CPUExecutionProvider"])


def share_arena(options: ort.SessionOptions) -> None:
    """Let the session that is made with `options` use the arena, where there is one."""
    if _session is not None:
        options.add_session_config_entry(*_USE_SHARED)


def shrink_arena() -> None:
    """Give back what no tensor uses; on any thread, also while models run."""
    if _session is not None:
        options = ort.RunOptions()
        options.log_severity_level = _FATAL
        options.add_run_config_entry(*_SHRINK)
        _session.run(None, {"x": np.zeros(1, np.float32)}, options)


def enter_thread() -> None:
    """Have ONNX Runtime get what it needs once for each thread that runs models, failing runs included.

    Later there may be no memory for it, which ends the process.
    """
    if _session is not None:
        shrink_arena()
        try:
            _session.run(None, {"x": np.zeros(2, np.float32)})
        except RUN_ERRORS:
            return
