"""A trial of models: a process of its own loads each and runs it, before this one does.

A model can crash ONNX Runtime, exhaust memory or never come to an end; what then dies is the trial. It starts
from nothing (no fork: numpy has threads as soon as it is imported, and so has a server), so it may be held
beside models that serve. It has ended before this process loads the model: there are never two copies in
memory. It is no sandbox: it has the rights of the server. Before the server has threads a copy of it will do,
which spares most of the time; see `models.forked_trial`.
"""

import asyncio
import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TypeAlias

import orjson

from modelservice_runtime.errors import ModelRejectedError, StartupError
from modelservice_runtime.models.forked_trial import ForkedTrial
from modelservice_runtime.models.trial_process import TrialRequest
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.settings.plain_values import to_plain
from modelservice_runtime.settings.sessions import SessionSettings

log = logging.getLogger(__name__)

# -P: a module that lies in the directory the server was started in is not meant.
_Process: TypeAlias = "subprocess.Popen[bytes] | ForkedTrial"
_COMMAND = (sys.executable, "-P", "-m", "modelservice_runtime", "trial")


async def try_models(
    sources: Sequence[VersionSource],
    session: SessionSettings,
    limit_seconds: float,
    stop: asyncio.Event,
    process: ForkedTrial | None = None,
) -> bool:
    """Try models until the first that fails; False when `stop` came first. Raises as `try_model` does.

    With `process` in a copy of this process that was made earlier.
    """
    stopped = asyncio.ensure_future(stop.wait())
    trial = asyncio.ensure_future(_hold_trial(sources, session, limit_seconds, process))
    try:
        await asyncio.wait((trial, stopped), return_when=asyncio.FIRST_COMPLETED)
        if trial.done():
            trial.result()
            return True
        trial.cancel()
        await asyncio.wait((trial,))
        return False
    finally:
        stopped.cancel()


async def try_model(source: VersionSource, session: SessionSettings, limit_seconds: float) -> None:
    """Load and run a model in a process of its own, which has ended when this ends, in whatever way.

    Raises the StartupError that loading the model raises, and ModelRejectedError where the process died or
    took longer than `limit_seconds`.
    """
    await _hold_trial((source,), session, limit_seconds)


async def _hold_trial(
    sources: Sequence[VersionSource],
    session: SessionSettings,
    limit_seconds: float,
    forked: ForkedTrial | None = None,
) -> None:
    """One process for all of them, for its start takes longer than most models."""
    request = orjson.dumps(to_plain(TrialRequest(tuple(sources), session, os.getpid())))
    with forked or _start() as process:
        talk = asyncio.ensure_future(asyncio.to_thread(_talk, process, request, sources, limit_seconds))
        try:
            await asyncio.wait((talk,))
        finally:
            process.kill()
            await asyncio.wait((talk,))
            talk.exception()  # seen, also where nobody waits any more
    talk.result()


def _talk(
    process: _Process,
    request: bytes,
    sources: Sequence[VersionSource],
    limit_seconds: float,
) -> None:
    """Ask, and wait for each answer, on a thread. Raises as `try_model` does."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(request)
    with selectors.DefaultSelector() as answers:
        answers.register(process.stdout, selectors.EVENT_READ)
        for source in sources:
            _await_answer(process, answers, source, limit_seconds)


def _await_answer(
    process: _Process,
    answers: selectors.BaseSelector,
    source: VersionSource,
    limit_seconds: float,
) -> None:
    assert process.stdout is not None
    started = time.monotonic()
    model = f"the model {source.name!r} (version {source.version!r}) at {str(source.path)!r}"
    if not answers.select(limit_seconds):
        raise ModelRejectedError(
            f"{model} was not loaded and run within {limit_seconds:g} seconds; "
            "if it only needs longer raise --model-trial-seconds, otherwise export it again"
        )
    answer = process.stdout.readline()
    _check(answer, process.wait() if not answer else 0, model)
    seconds = round(time.monotonic() - started, 3)
    log.info("model tried", extra={"model": source.name, "version": source.version, "seconds": seconds})


def _start() -> "subprocess.Popen[bytes]":
    # Not by the event loop: this way is by vfork, which copies no page table of a large server and runs no
    # handler of its libraries. A terminal's interrupt reaches the server alone, which ends the trial.
    try:
        return subprocess.Popen(
            # Unbuffered, so that no answer hides where the selector does not see it.
            _COMMAND,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
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
