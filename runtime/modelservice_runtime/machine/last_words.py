"""What is left to say when a process may die without a chance to speak.

A model can crash ONNX Runtime while it is loaded or first run. Mostly that happens in the model's trial, in
another process. Where it passed that, or had none, no Python code runs any more: the sentence is written
beforehand to where Kubernetes looks for it, and taken back afterwards.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelservice_runtime.errors import StartupError

TERMINATION_LOG = Path("/dev/termination-log")


def leave(sentence: str, termination_log: Path = TERMINATION_LOG) -> None:
    """Write the termination message, where there is a file for it (in a pod)."""
    if termination_log.exists() and os.access(termination_log, os.W_OK):
        termination_log.write_text(sentence, encoding="utf-8")


@contextmanager
def last_words(error: StartupError, termination_log: Path = TERMINATION_LOG) -> Iterator[None]:
    """Leave `error` in case the process dies within; it is taken back when the block ends in any way."""
    leave(str(error), termination_log)
    try:
        yield
    finally:
        leave("", termination_log)
