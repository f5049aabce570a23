"""Ask the served model about messages, over the Open Inference Protocol (V2 REST)."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hack.demo.errors import DemoError

MODEL = "spam"
MESSAGES = (
    "Are we still meeting for lunch at noon? I can book the table by the window.",
    "URGENT! You have WON a 1000 pound prize. Call 09061701461 now to claim. Valid 12 hours only.",
)
EXPECTED = ("ham", "spam")
_TIMEOUT_SECONDS = 30
_RETRY_SECONDS = 0.3


@dataclass(frozen=True)
class Answer:
    """What the model says about one message."""

    text: str
    label: str
    probability: float


def build_request(messages: Sequence[str]) -> dict[str, Any]:
    """Return the body of one inference request for a batch of messages."""
    return {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(messages)], "data": list(messages)}]
    }


def parse_answers(messages: Sequence[str], body: dict[str, Any]) -> list[Answer]:
    """Return one answer for each message."""
    outputs = {output["name"]: output["data"] for output in body["outputs"]}
    rows = zip(messages, outputs["label"], outputs["probability"], strict=True)
    return [Answer(text, label, float(probability)) for text, label, probability in rows]


def ask(base_url: str, messages: Sequence[str], patience_seconds: float = 120.0) -> list[Answer]:
    """Send the messages in one request.

    A Service takes traffic a moment after its pod is ready, when kube-proxy has written its rules: until
    then, and for `patience_seconds` at most, a refused connection is tried again.

    Raises:
        DemoError: the service does not answer, or not with 200.

    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return parse_answers(
                messages, _post(f"{base_url}/v2/models/{MODEL}/infer", build_request(messages))
            )
        except urllib.error.HTTPError as error:
            body = error.read(500).decode(errors="replace")
            raise DemoError(f"the model answered {error.code}: {body}") from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise DemoError(f"the Service does not answer at {base_url}: {error}") from error
            time.sleep(_RETRY_SECONDS)


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed


def render_answers(answers: Sequence[Answer]) -> str:
    """Return the answers as lines for a person."""
    return "\n".join(
        f'  {answer.label:4}  (spam with probability {answer.probability:.4f})  "{answer.text}"'
        for answer in answers
    )
