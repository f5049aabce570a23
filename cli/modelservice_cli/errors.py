"""What can go wrong in a command, as a sentence for the user."""


class CommandError(Exception):
    """The command cannot go on; the message names cause and remedy."""
