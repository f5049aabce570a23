"""A pod that ended in the middle. What it did with the request is not known, so it is not sent again."""

from __future__ import annotations

from modelservice_activator.relaying.answers import Answer

LOST = Answer(502, "the pod ended before it had answered; whether it did what was asked is not known")


class LostPodError(Exception):
    """The connection to the pod ended before its answer did."""
