"""A trial of a model: a process of its own loads it and runs it, before this one does.

A model can crash ONNX Runtime, exhaust memory or never come to an end; what then dies is the trial. It starts
from nothing (no fork: numpy has threads as soon as it is imported, and so has a server), so it may be held
beside models that serve. It has ended before this process loads the model: there are never two copies in
memory. It is no sandbox: it has the rights of the server.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import orjson

from modelservice_runtime.errors import ModelRejectedError, StartupError
from modelservice_runtime.model_versions import VersionSource
from modelservice_runtime.plain_values import to_plain
from modelservice_runtime.session_settings import SessionSettings
from modelservice_runtime.trial_process import TrialRequest

log = logging.getLogger(__name__)

# -P: a module that lies in the directory the server was started in is not meant.
_COMMAND = (sys.executable, "-P", "-m", "modelservice_runtime", "trial")


async def try_models(
    sources: Sequence[VersionSource], session: SessionSettings, limit_seconds: float, stop: asyncio.Event
) -> bool:
    """Try one model after the other; False when ``stop`` came first. Raises StartupError."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        for source in sources:
            trial = asyncio.ensure_future(try_model(source, session, limit_seconds))
            await asyncio.wait((trial, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not trial.done():
                trial.cancel()
                await asyncio.wait((trial,))
                return False
            trial.result()
    finally:
        stopped.cancel()
    return True


async def try_model(source: VersionSource, session: SessionSettings, limit_seconds: float) -> None:
    """Load and run a model in a process of its own, which has ended when this ends, in whatever way.

    Raises the StartupError that loading the model raises, and ModelRejectedError where the process died or
    took longer than ``limit_seconds``.
    """
    started = time.monotonic()
    request = orjson.dumps(to_plain(TrialRequest(source, session, os.getpid())))
    model = f"the model {source.name!r} at {str(source.path)!r}"
    with _start() as process:
        talk = asyncio.ensure_future(asyncio.to_thread(process.communicate, request, limit_seconds))
        try:
            await asyncio.wait((talk,))
        finally:
            process.kill()
            await asyncio.wait((talk,))
    try:
        answer, _ = talk.result()
    except subprocess.TimeoutExpired as error:
        raise ModelRejectedError(
            f"{model} was not loaded and run within {limit_seconds:g} seconds; "
            "if it only needs longer raise --model-trial-seconds, otherwise export it again"
        ) from error
    _check(answer, process.returncode, model)
    fields = {
        "model": source.name,
        "version": source.version,
        "seconds": round(time.monotonic() - started, 3),
    }
    log.info("model tried", extra=fields)


def _start() -> "subprocess.Popen[bytes]":
    # Not by the event loop: this way is by vfork, which copies no page table of a large server and runs no
    # handler of its libraries. A terminal's interrupt reaches the server alone, which ends the trial.
    try:
        return subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise StartupError(
            f"cannot start a process for the trial of a model ({error.strerror}); "
            "allow more processes, or set --model-trial-seconds off"
        ) from error


def _check(answer: bytes, code: int, model: str) -> None:
    """Raise what the process answered, or what its end means."""
    if not answer:
        raise ModelRejectedError(_describe_end(code, model))
    refusal = orjson.loads(answer)
    if refusal is not None:
        reason, sentence = refusal
        kinds = {kind.reason: kind for kind in StartupError.__subclasses__()}
        raise kinds.get(reason, StartupError)(sentence)


def _describe_end(code: int, model: str) -> str:
    if code >= 0:
        return f"the trial of {model} ended with code {code} and without a word; the log may tell why"
    name = next((number.name for number in signal.Signals if number == -code), f"signal {-code}")
    if -code == signal.SIGKILL:
        return (
            f"the trial of {model} was killed ({name}), as happens when memory runs out; "
            "raise the container's memory limit, or take a smaller model"
        )
    return (
        f"{model} crashed ONNX Runtime ({name}) while it was loaded or first run; "
        "try the file with ONNX Runtime alone, and export it again"
    )
