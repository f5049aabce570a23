"""The activator's life: probes; watches listed; ready; clients. After SIGTERM the same in reverse.

It keeps no state that a new process would miss: what it needs to know is in the API server, and what it
holds is its clients' who notice when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.channels.departures import Departures
from modelservice_activator.holding.holder import Holder
from modelservice_activator.listening.clients import Clients
from modelservice_activator.listening.doors import Doors
from modelservice_activator.process.services_route import PATH, services_handler
from modelservice_activator.relaying.visit import Means
from modelservice_activator.settings import parse_settings
from modelservice_activator.waking.waker import Waker
from modelservice_activator.watching.listeners import SLICES_SELECTOR, SliceListener, WishListener
from modelservice_activator.watching.services import Services
from modelservice_operator import common_metrics
from modelservice_operator.client.credentials import load_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.facts.errors import OperatorError
from modelservice_operator.facts.kinds import ENDPOINT_SLICES, MODEL_SERVICES
from modelservice_operator.process.health import HealthServer
from modelservice_operator.process.life import Life
from modelservice_operator.process.logs import setup_logging
from modelservice_operator.process.watchdog import Heartbeat, is_alive
from modelservice_operator.sources.namespaces import guard_rights, wait_for_readable
from modelservice_operator.sources.watch import ResourceWatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_activator.settings import Settings
    from modelservice_operator.sources.namespaces import Scopes

log = logging.getLogger(__name__)

MANAGER = "modelservice-activator"
"""The field manager of its writes."""
LAST_WORDS_SECONDS = 2.0
"""In which those that are refused at the end are told so."""


class Activator:
    """One replica of the activator."""

    def __init__(self, settings: Settings, api: ApiClient) -> None:
        self._settings = settings
        self._life = Life()
        self._heartbeat = Heartbeat()
        self._departures = Departures()
        self._api = api
        self._services = services = Services()
        self._waker = Waker(api, services)
        self._holder = Holder(services, self._waker, settings.hold)
        means = Means(
            holder=self._holder,
            departures=self._departures,
            limits=settings.connections,
            connect_seconds=settings.connect_seconds,
        )
        self._clients = Clients(services, means)
        self._doors = Doors(services, self._clients, settings.host, settings.connections.stall_seconds)
        self._synced = False

    async def run(self) -> int:
        """Run until a signal or a fault; returns the exit code."""
        health = HealthServer(
            self._settings.http_host,
            self._settings.http_port,
            alive=is_alive(self._heartbeat),
            ready=lambda: self._synced and not self._life.over.is_set(),
            registry=process_registry(metrics.PREFIX, metrics.REGISTRY, common_metrics.CLIENT),
            routes={PATH: services_handler(self._doors)},
        )
        self._life.listen_to_signals()
        await health.start()
        self._life.spawn("heartbeat", self._heartbeat.run())
        self._life.spawn("sweep", self._clients.sweep())
        self._life.spawn("doors", self._doors.keep_open())
        self._life.spawn("life", self._live())
        await self._life.over.wait()
        await self._leave()
        await health.stop()
        await self._shut_down()
        return self._life.exit_code

    async def _live(self) -> None:
        scopes = await wait_for_readable(self._api, self._settings.scopes)
        await self._watch_all(scopes)
        if self._settings.namespaces:
            self._life.spawn("rights", guard_rights(self._api, self._settings.scopes, scopes))
        self._synced = True
        common_metrics.SYNCED.set(1)
        log.info("watches synced")
        await asyncio.Event().wait()

    async def _watch_all(self, scopes: Scopes) -> None:
        """Watch both kinds in each namespace; returns once all are listed."""
        wishes, slices = WishListener(self._services), SliceListener(self._services)
        watches: list[ResourceWatch] = []
        for scope in scopes:
            watches += (
                ResourceWatch(self._api, MODEL_SERVICES, wishes, namespace=scope),
                ResourceWatch(self._api, ENDPOINT_SLICES, slices, namespace=scope, selector=SLICES_SELECTOR),
            )
        for watch in watches:
            self._life.spawn("watch", watch.run())
        for watch in watches:
            await watch.listed.wait()

    async def _leave(self) -> None:
        """Go without losing anybody: watches and wakes go on until what is held has found its pods."""
        log.info("stopping")
        self._doors.leave()
        self._clients.retire_all()
        await asyncio.sleep(self._settings.leave_seconds)
        self._doors.close()
        await self._clients.end(self._settings.grace_seconds - self._settings.leave_seconds)
        self._holder.refuse_all()
        await self._clients.end(LAST_WORDS_SECONDS)

    async def _shut_down(self) -> None:
        await self._clients.cut()
        await self._waker.close()
        await self._life.end()
        self._departures.close()


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run until stopped; returns the exit code: 0 after a signal, 1 after a fault."""
    settings = parse_settings(argv, environment)
    setup_logging(settings.log_level)
    _allow_many_files()
    try:
        return asyncio.run(run_activator(settings))
    except OperatorError as error:
        log.critical("%s", error)
        return 1


async def run_activator(settings: Settings) -> int:
    """Run one replica with these settings; returns the process's exit code."""
    async with ApiClient(load_credentials(settings), MANAGER) as api:
        return await Activator(settings, api).run()


def _allow_many_files() -> None:
    """Two ports of a service and two connections of a request are files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
