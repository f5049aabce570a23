"""Sends wrong requests to a server: each must be refused with a sentence, and the server must go on."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.connections import Answer, Connections, NoAnswerError, TooSlowError
from modelservice_pipeline.predict.server import Access
from modelservice_pipeline.report.progress import track
from modelservice_pipeline.robustness.wrong_requests import Document, make_wrong_requests

Outcome = Literal["refused", "answered", "unclear", "failed", "died"]
_TRIES = 20
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Trial:
    """What came of a wrong request.

    Attributes:
        name: What was wrong with it.
        outcome: `refused` with a status of 4xx and a sentence; `answered`; `unclear`: 4xx without a sentence;
            `failed`: 5xx or no answer; `died`: right requests got no answer afterwards.
        status: Of the answer; None without one.
        said: The start of its body.
        is_good: Whether a server may do that.
    """

    name: str
    outcome: Outcome
    status: int | None
    said: str
    is_good: bool


def fuzz_server(url: str, right: Document, access: Access, seed: int) -> list[Trial]:
    """Send wrong requests, and after each the right one.

    Args:
        url: Where inference is asked: `.../v2/models/NAME/infer`.
        right: A request that the server answers.
        access: Keys, TLS and time.
        seed: Of requests changed at random.

    Raises:
        PipelineError: The server refuses even the right request.
    """
    parts = urlsplit(url)
    connections = Connections(parts, access.tls)

    def send(body: bytes, headers: dict[str, str]) -> Answer:
        return connections.ask("POST", parts.path, {**headers, **access.headers()}, body, access.seconds)

    right_body = json.dumps(right).encode()
    _check_right(send, right_body, url)
    trials = []
    for request in track(list(make_wrong_requests(right, seed)), "Sending wrong requests"):
        trial = _try(send, request.name, request.body, request.headers, request.may_be_right)
        if not _is_alive(send, right_body, access):
            trials.append(Trial(request.name, "died", trial.status, trial.said, is_good=False))
            break
        trials.append(trial)
    connections.close()
    return trials


def describe_trials(trials: list[Trial]) -> dict[str, Any]:
    """Return facts: how many requests had which outcome, and those that a server may not have."""
    outcomes: dict[str, int] = {}
    for trial in trials:
        outcomes[trial.outcome] = outcomes.get(trial.outcome, 0) + 1
    wrong = [
        {"request": trial.name, "outcome": trial.outcome, "status": trial.status, "said": trial.said}
        for trial in trials
        if not trial.is_good
    ]
    return {"requests": len(trials), "outcomes": outcomes, "wrong": wrong}


def _try(
    send: Callable[[bytes, dict[str, str]], Answer],
    name: str,
    body: bytes,
    headers: dict[str, str],
    may_be_right: bool,
) -> Trial:
    try:
        answer = send(body, headers)
    except (NoAnswerError, TooSlowError) as error:
        return Trial(name, "failed", None, str(error) or "no answer in time", is_good=False)
    said = answer.body.decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
    if answer.status >= 500:
        return Trial(name, "failed", answer.status, said, is_good=False)
    if answer.status < 400:
        return Trial(name, "answered", answer.status, said, is_good=may_be_right)
    is_clear = _has_sentence(answer.body)
    return Trial(name, "refused" if is_clear else "unclear", answer.status, said, is_good=is_clear)


def _has_sentence(body: bytes) -> bool:
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and bool(document.get("error") or document.get("detail"))


def _check_right(send: Callable[[bytes, dict[str, str]], Answer], body: bytes, url: str) -> None:
    try:
        answer = send(body, {"Content-Type": "application/json"})
    except (NoAnswerError, TooSlowError) as error:
        raise PipelineError(
            f"no answer from {url} ({error}): check the address, and that the server runs"
        ) from None
    if answer.status != 200:
        said = answer.body.decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
        raise PipelineError(f"{url} answered {answer.status} to a right request: {said}")


def _is_alive(send: Callable[[bytes, dict[str, str]], Answer], body: bytes, access: Access) -> bool:
    for _ in range(_TRIES):
        try:
            if send(body, {"Content-Type": "application/json"}).status == 200:
                return True
        except (NoAnswerError, TooSlowError):
            pass
        access.clock.sleep(0.25)
    return False
