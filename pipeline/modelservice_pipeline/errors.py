"""What can go wrong on the way of a model, as a sentence for the user."""


class PipelineError(Exception):
    """The command cannot go on; the message names what was found, what was expected and what to do."""
