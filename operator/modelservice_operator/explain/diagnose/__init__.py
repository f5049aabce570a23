"""From pods, their events and Deployments to one root cause that a person can act on. Pure."""

from modelservice_operator.explain.diagnose.cause import Cause, Situation
from modelservice_operator.explain.diagnose.causes import diagnose
from modelservice_operator.explain.diagnose.models import (
    LoadedModel,
    first_commit,
    first_report,
    loaded_models,
)

__all__ = [
    "Cause",
    "LoadedModel",
    "Situation",
    "diagnose",
    "first_commit",
    "first_report",
    "loaded_models",
]
