"""Why a request is not held, or held no longer. Pure."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  it is an answer, and no error of ours
    """What a client is told: why, and after how many seconds to come again. Protocols say it in their way."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


def full(what: str) -> Refusal:
    """Too many wait already."""
    return Refusal(f"too many {what} wait for this service to start: try again", 2)


def expired() -> Refusal:
    """It has waited for as long as it may."""
    return Refusal("the service did not start in time: try again, or look at its status", 5)


def switched_off() -> Refusal:
    """No request wakes it."""
    return Refusal("the service is switched off: its spec.replicas is 0", 30)


def gone() -> Refusal:
    """It is deleted."""
    return Refusal("there is no such service any more", 30)


def ending() -> Refusal:
    """The process ends; others of its kind do not."""
    return Refusal("this activator ends: try again", 1)
