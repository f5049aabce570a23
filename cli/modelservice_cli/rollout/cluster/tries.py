"""Writes that others' writes get in the way of, and answers that take a moment."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.errors import ChangedMeanwhileError

_WRITE_TRIES = 5
_ANSWER_SECONDS = 30
_LOOK_SECONDS = 0.3

Written = TypeVar("Written")


def again_if_changed(write: Callable[[], Written]) -> Written:
    """The operator writes its status all the time: what was read may be old when it is written."""
    for _ in range(_WRITE_TRIES - 1):
        with contextlib.suppress(ChangedMeanwhileError):
            return write()
    return write()


def wait_for(find: Callable[[], Written | None]) -> Written:
    """Look until the operator's answer is there. CommandError: it does not answer."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < deadline:
        answer = find()
        if answer is not None:
            return answer
        time.sleep(_LOOK_SECONDS)
    raise CommandError(
        f"the operator has not answered within {_ANSWER_SECONDS} s: see whether it runs; it will answer then"
    )
