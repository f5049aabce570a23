"""From a request to its call: prompts are made on a thread, then a lane generates."""

import asyncio
import logging
from collections.abc import Callable

from modelservice_runtime.errors import OverloadedError, ServingError, internal_error
from modelservice_runtime.generation.values import GenerationLane
from modelservice_runtime.protocols.openai.answering.call import Form, TextCall
from modelservice_runtime.protocols.openai.answering.prompts import Text, prepare
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds
from modelservice_runtime.transport.http import HttpRequest

log = logging.getLogger(__name__)


def start_call(
    request: HttpRequest,
    lane: GenerationLane,
    form: Form,
    make_texts: Callable[[], list[Text]],
    *,
    streamed: bool,
) -> None:
    """Answer later, in the given form. Raises InvalidRequestError for a deadline that is none."""
    timeout_seconds = header_timeout_seconds(request.headers)

    call = TextCall(request, form)
    call.expire_after(timeout_seconds)

    def go_on(made: asyncio.Future[list[Text]]) -> None:
        try:
            call.start(lane, made.result(), streamed=streamed)
        except ServingError as error:
            call.fail(error)
        except Exception:  # the last boundary: no client waits for ever
            log.exception("internal error")
            call.fail(internal_error())

    def make() -> list[Text]:
        # Clients that give up while others' prompts are made cost no time of the threads.
        return [] if call.is_over else make_texts()

    try:
        prepare(request.owner, len(request.body), make, go_on)
    except OverloadedError as error:
        call.fail(error)
