"""Makes ONNX Runtime sessions.

Facts about ONNX Runtime this module relies on (measured with 1.31 on CPU): asking for CUDA where it is
missing only warns and runs on CPU; spinning threads burn CPU between runs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import onnxruntime as ort

from modelservice_runtime.onnx.arena import share_arena
from modelservice_runtime.onnx.errors import LOAD_ERRORS, translate_load_error
from modelservice_runtime.onnx.execution_providers import (
    build_provider_options,
    check_providers,
    resolve_providers,
    uses_cuda,
)
from modelservice_runtime.settings.sessions import SessionSettings

FATAL = 4  # everything below is raised as an exception too, and would only break the JSON log


def create_session(
    model: Path | bytes, settings: SessionSettings, entries: Mapping[str, str] = MappingProxyType({})
) -> ort.InferenceSession:
    """Open a model: a file, or the content of one without external data; `entries` configure the session.

    Raises ModelLoadFailedError, ExecutionProviderUnavailableError.
    """
    # A model must not bring its own session configuration.
    os.environ.pop("ORT_LOAD_CONFIG_FROM_MODEL", None)
    providers = resolve_providers(settings.execution_providers, ort.get_available_providers())
    if uses_cuda(providers):
        # CUDA's libraries come as Python packages, where the loader does not look by itself.
        ort.preload_dlls()
    try:
        session = ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            sess_options=_session_options(settings, entries),
            providers=[(name, build_provider_options(name, settings)) for name in providers],
            enable_fallback=0,
        )
    except LOAD_ERRORS as error:
        raise translate_load_error(error) from error
    session.disable_fallback()
    check_providers(session.get_providers(), providers, settings.execution_providers)
    return session


def _session_options(settings: SessionSettings, entries: Mapping[str, str]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL
    # Threads that spin after a run take the CPU from the server's own work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    share_arena(options)
    return options
