"""The one error of this package: a sentence that says what failed and what to do about it."""


class ClusterError(Exception):
    """A step failed for a reason that a person can act on; its text is shown without a traceback."""
