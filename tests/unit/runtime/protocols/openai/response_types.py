"""Whether documents and events are what the package `openai` has types for: nothing is missing or unknown."""

from typing import Any, get_args

import pydantic
from openai.types.responses import Response, ResponseStreamEvent

# What OpenAI's servers and others tell beside the types: of responses, of error events, of calls that are
# complete, and of tokens.
_BESIDE = {
    "Response": {"store", "presence_penalty", "frequency_penalty"},
    "ResponseErrorEvent": {"error"},
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
    "Logprob": {"bytes"},
    "LogprobTopLogprob": {"bytes"},
}
_EVENTS: dict[str, type[pydantic.BaseModel]] = {
    get_args(event.model_fields["type"].annotation)[0]: event
    for event in get_args(get_args(ResponseStreamEvent)[0])
}


def checked_response(document: dict[str, Any]) -> Response:
    """A response that has been told whole."""
    response = Response.model_validate(document, strict=True)
    _refuse_unknown(response)
    return response


def checked_event(document: dict[str, Any]) -> Any:
    """An event of a stream."""
    event = _EVENTS[document["type"]].model_validate(document, strict=True)
    _refuse_unknown(event)
    return event


def _refuse_unknown(value: object) -> None:
    if isinstance(value, pydantic.BaseModel):
        name = type(value).__name__
        unknown = set(value.model_extra or {}) - _BESIDE.get(name, set())
        assert not unknown, (name, unknown)
        for field in type(value).model_fields:
            _refuse_unknown(getattr(value, field))
    elif isinstance(value, list):
        for one in value:
            _refuse_unknown(one)
