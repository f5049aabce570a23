"""Which of the namespaces that we shall serve let us; the others must not hold those up.

A namespace takes our Role along when it is deleted, and a new one may not have it yet. What may be read is
fixed for a process's life: where that changes it starts over, which costs no write.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import FORBIDDEN, ApiError, OperatorError
from modelservice_operator.facts.kinds import MODEL_SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
LOOK_SECONDS = 60.0
CONFIRM_SECONDS = 5.0
"""An API server that has just started may not know all Roles yet."""

Scopes = tuple[str | None, ...]
"""What is listed and watched each for itself: namespaces, or None for the whole cluster."""


async def find_readable(api: ApiClient, scopes: Sequence[str | None]) -> Scopes:
    """Those whose ModelServices we may list, the whole cluster unasked; raises ApiError where none is."""
    readable: list[str | None] = []
    refusal: ApiError | None = None
    for scope in scopes:
        try:
            if scope is not None:
                await api.check_served(MODEL_SERVICES, scope)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            refusal = error
        else:
            readable.append(scope)
    if refusal is not None and not readable:
        raise refusal
    return tuple(readable)


async def wait_for_readable(api: ApiClient, scopes: Sequence[str | None]) -> Scopes:
    """Wait until one at least can be read; returns all that can."""
    while True:
        try:
            readable = await find_readable(api, scopes)
        except ApiError as error:
            log.warning("waiting for the API server, the CRDs and our rights: %s", error.message)
            await asyncio.sleep(WAIT_SECONDS)
            continue
        for scope in scopes:
            if scope not in readable:
                log.warning("namespace %s is left out: we have no right to its ModelServices", scope)
        return readable


async def guard_rights(
    api: ApiClient,
    scopes: Sequence[str | None],
    served: Scopes,
    *,
    look_seconds: float = LOOK_SECONDS,
    confirm_seconds: float = CONFIRM_SECONDS,
) -> None:
    """Raise OperatorError once other namespaces can be read than those that are served."""
    while True:
        await asyncio.sleep(look_seconds)
        try:
            if await find_readable(api, scopes) == served:
                continue
            await asyncio.sleep(confirm_seconds)
            readable = await find_readable(api, scopes)
        except ApiError as error:
            log.info("cannot tell which namespaces can be read: %s", error.message)
            continue
        if readable != served:
            names = ", ".join(scope or "all" for scope in readable)
            raise OperatorError(f"The namespaces that may be served are others now ({names}): starting over.")
