"""The trial's own process: `python -m modelservice_runtime trial`, as `models.trial` calls it.

A `TrialRequest` comes on standard input; the answer on standard output is a line for each model: `null`
where it ran, or the reason and the sentence of a StartupError, which is the last one. No line means that the
process died.
"""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orjson

from modelservice_runtime.errors import StartupError
from modelservice_runtime.generation.config import is_generative
from modelservice_runtime.models.samples import DecodeSample, read_samples
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.settings.plain_values import from_plain
from modelservice_runtime.settings.sessions import SessionSettings

# From Linux's prctl.h.
_PR_SET_PDEATHSIG = 1
_OOM_SCORE = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What to try, one after the other, and the process that asks for it."""

    sources: tuple[VersionSource, ...]
    session: SessionSettings
    parent_pid: int


def run_trial(decode_sample: DecodeSample) -> NoReturn:
    """Answer a request and end."""
    answers = os.dup(1)
    # What a library prints must not get into the answer.
    os.dup2(2, 1)
    request = _read_request()
    # The server logs the same when it loads the model itself.
    logging.disable()
    for source in request.sources:
        refusal = _try(source, request.session, decode_sample)
        os.write(answers, orjson.dumps(refusal) + b"\n")
        if refusal is not None:
            break
    # Libraries may crash while they are taken down, and the answer is given.
    os._exit(0)


def _read_request() -> TrialRequest:
    """The request, once this process is bound to end with its parent, and before it for lack of memory."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text("1000", encoding="ascii")
    with open(0, "rb", closefd=False) as standard_input:
        content = standard_input.read()
    if not content:
        os._exit(0)  # the server ended, or never came to its models
    request: TrialRequest = from_plain(TrialRequest, orjson.loads(content))
    if os.getppid() != request.parent_pid:
        sys.exit("the server ended before the trial of its model began")
    return request


def _try(
    source: VersionSource, session: SessionSettings, decode_sample: DecodeSample
) -> tuple[str, str] | None:
    # Imported here: the parent, too, knows this module, and imports ONNX Runtime when its ports are open.
    from modelservice_runtime.models.warm_up import try_run
    from modelservice_runtime.onnx.model import load_onnx_model

    try:
        with source.named_in_errors():
            if is_generative(source.path):
                from modelservice_runtime.models.generative import try_generative

                try_generative(source, session)
                return None
            model = load_onnx_model(source.path, source.name, source.version, session)
            try_run(model, read_samples(model.spec, source.path, source.samples, decode_sample))
            if source.has_to_prove:
                from modelservice_runtime.models.proof import check_proof

                check_proof(model, source.path)
    except StartupError as error:
        return error.reason, error.sentence
    return None
