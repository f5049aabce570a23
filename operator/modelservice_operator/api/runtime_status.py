"""The part of a ModelService's status that tells which runtime its pods have, and which they may get."""

from typing import Annotated, Literal

from modelservice_operator.api.types.base import ApiModel, limited
from modelservice_operator.api.types.figures import RevisionName


class RuntimeUpdate(ApiModel):
    """What came of the newest request in the annotation modelservice.dev/update-runtime."""

    request: Annotated[str, limited(640)]
    """The annotation's value: the image that was asked for."""
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
    newer_image: Annotated[str, limited(512)] | None = None
    """The image that the ModelRuntime names now, where that is another one."""
    message: Annotated[str, limited(4096)] | None = None
    """What has changed in the ModelRuntime since, and how to take it."""
    update: RuntimeUpdate | None = None
    """A newer runtime that somebody asked for."""
