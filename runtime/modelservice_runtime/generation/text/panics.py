"""Where the library `tokenizers` fails or panics: a panic is no `Exception`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def failures_told(tell: Callable[[str], Exception]) -> Iterator[None]:
    """Raise what `tell` makes of the library's sentence."""
    try:
        yield
    except BaseException as error:
        # The library does not export the class of its panics.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise tell(str(error)[:200]) from error
