"""The one error of the demo that a person sees."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""
