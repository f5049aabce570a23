"""The part of a ModelService's status that tells which runtime its pods have, and which they may get."""

from typing import Annotated, Literal

from modelservice_operator.api.types.base import ApiModel, limited
from modelservice_operator.api.types.figures import RevisionName


class RuntimeUpdate(ApiModel):
    """What came of the newest wish for another runtime."""

    request: Annotated[str, limited(640)]
    """What was asked: the annotation's value, or the RuntimeRollout, part of its UID and `@back`."""
    phase: Literal["Progressing", "Complete", "Failed", "Refused"]
    """How far it is. Failed: its revision was given up, and the runtime from before stays."""
    message: Annotated[str, limited(1024)] = ""
    """The same as a sentence."""
    revision: RevisionName | None = None
    """The revision that takes it."""


class ResolvedRuntime(ApiModel):
    """The runtime that the target revision was made with."""

    ref: Annotated[str, limited(253)]
    """The ModelRuntime."""
    image: Annotated[str, limited(512)]
    """Its image."""
    stable_image: Annotated[str, limited(512)] | None = None
    """The image of the stable revision, where that is another one of the same ModelRuntime."""
    newer_image: Annotated[str, limited(512)] | None = None
    """The image that the ModelRuntime names now, where that is another one."""
    message: Annotated[str, limited(4096)] | None = None
    """What has changed in the ModelRuntime since, and how to take it."""
    update: RuntimeUpdate | None = None
    """The one that somebody asked for by the annotation modelservice.dev/update-runtime."""
    assigned: RuntimeUpdate | None = None
    """The one that a RuntimeRollout assigned, or took back."""
