"""Why a served model gave no answer, for those who tell it on."""

from modelservice_pipeline.errors import PipelineError


class RefusedByModelError(PipelineError):
    """The server answered with an error that no further try mends.

    Attributes:
        status: HTTP's.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ModelAwayError(PipelineError):
    """The server was busy, slow or away until the time was over."""
