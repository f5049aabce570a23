"""What an API server may answer instead of an object, as sentences for the user."""

from modelservice_cli.errors import CommandError


class ForbiddenError(CommandError):
    """The user has no right to it."""


class NotFoundError(CommandError):
    """There is no such object."""


class UnavailableError(CommandError):
    """No answer, or none for now: another try may help."""


class ChangedMeanwhileError(CommandError):
    """Somebody else wrote the object since it was read."""
