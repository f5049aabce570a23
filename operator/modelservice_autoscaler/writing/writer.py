"""Writes `/scale` and `status.autoscaler`, each with the state that was decided on as its precondition."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.errors import ApiError, ConflictError, NotFoundError
from modelservice_operator.facts.kinds import MODEL_SERVICES

if TYPE_CHECKING:
    from modelservice_autoscaler.watching.services import Service, Services
    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

PARALLEL_SCALES = 16
PARALLEL_TELLS = 4
"""After a start every service has something to tell: a connection for each of a thousand would leave the API
server, and the renewal of the Lease, no room. What is told can wait, what is scaled must not wait for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server said no: a limit of the namespace, a right that is missing, a webhook."""

    sentence: str


Outcome = bool | Refusal | None


class Writer:
    """The one place that writes.

    Each write returns whether it was carried out: False where news are on their way that change what was
    decided on, a refusal, or None where the API server did not answer or has too much to do.
    """

    def __init__(self, api: ApiClient, services: Services) -> None:
        self._api = api
        self._services = services
        self._scales = asyncio.Semaphore(PARALLEL_SCALES)
        self._tells = 0

    @property
    def has_room_to_tell(self) -> bool:
        """Whether `tell` may be called now; else after another look."""
        return self._tells < PARALLEL_TELLS

    async def scale(self, service: Service, replicas: int) -> Outcome:
        """Ask for so many pods."""
        async with self._scales:
            return await self._patch(service, "scale", {"spec": {"replicas": replicas}}, replicas)

    async def tell(self, service: Service, report: dict[str, Any]) -> Outcome:
        """Put the decision into the status, where null takes a field away.

        Without a precondition but for the UID: nobody else writes it, and the operator writes all around it.
        """
        self._tells += 1
        try:
            return await self._patch(service, "status", {"status": {"autoscaler": report}})
        finally:
            self._tells -= 1

    async def _patch(
        self, service: Service, subresource: str, patch: dict[str, Any], replicas: int | None = None
    ) -> Outcome:
        place = (service.key.namespace, service.key.name)
        guard = {"uid": service.uid} | ({"resourceVersion": service.version} if replicas is not None else {})
        try:
            answer = await self._api.patch_subresource(
                MODEL_SERVICES, *place, subresource, {"metadata": guard, **patch}
            )
        except (ConflictError, NotFoundError) as error:
            log.debug("news are on their way: %s", error.message)
            return False
        except ApiError as error:
            fields = {"namespace": place[0], "service": place[1]}
            log.warning("cannot write %s: %s", subresource, error.message, extra=fields)
            is_answer = error.status not in (0, HTTPStatus.TOO_MANY_REQUESTS)
            return Refusal(error.message) if is_answer else None
        self._services.on_written(service, answer["metadata"]["resourceVersion"], replicas=replicas)
        return True
