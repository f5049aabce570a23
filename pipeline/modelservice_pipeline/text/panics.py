"""Where the library `tokenizers` panics: its exception is none of Python's, and would end the command."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelservice_pipeline.errors import PipelineError


@contextmanager
def panics_told() -> Iterator[None]:
    """Turn a panic of the library into a PipelineError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the library does not export it
            raise
        raise PipelineError(
            f"the library tokenizers fails on this tokenizer ({error}): a token or a setting in it is "
            "one that the library cannot read"
        ) from None
