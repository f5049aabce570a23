"""The autoscaler's life: probes; ModelServices and EndpointSlices listed and watched; ready; then the Lease.

Only with it are pods looked at and `/scale` written on our own account; KEDA is answered without it. A
replica that takes over has seen no load yet: it scales nothing down before it has seen a whole window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from modelservice_autoscaler import metrics
from modelservice_autoscaler.deciding.followers import Followers
from modelservice_autoscaler.looking.pods import PodClient
from modelservice_autoscaler.looking.sight import Sight
from modelservice_autoscaler.serving.keda import ExternalScaler, serve
from modelservice_autoscaler.serving.observer import Observers
from modelservice_autoscaler.settings import NAME, parse_settings
from modelservice_autoscaler.watching.endpoints import SELECTOR, Endpoints
from modelservice_autoscaler.watching.services import Services
from modelservice_autoscaler.writing.writer import Writer
from modelservice_operator import common_metrics
from modelservice_operator.client.credentials import load_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.facts.errors import OperatorError
from modelservice_operator.facts.kinds import ENDPOINT_SLICES, MODEL_SERVICES
from modelservice_operator.process.health import HealthServer
from modelservice_operator.process.leader import LeaderElector
from modelservice_operator.process.life import Life
from modelservice_operator.process.logs import setup_logging
from modelservice_operator.process.watchdog import Heartbeat, is_alive
from modelservice_operator.sources.namespaces import guard_rights, wait_for_readable
from modelservice_operator.sources.watch import ResourceWatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_autoscaler.settings import AutoscalerSettings
    from modelservice_operator.sources.namespaces import Scopes

log = logging.getLogger(__name__)


class Autoscaler:
    """One replica of the autoscaler."""

    def __init__(self, settings: AutoscalerSettings, api: ApiClient) -> None:
        self._settings = settings
        self._elector = LeaderElector(api, settings.lease)
        self._api = api
        self._services, self._endpoints = services, endpoints = Services(), Endpoints()
        sight = Sight(services=services, endpoints=endpoints, pods=PodClient(), clock=time.monotonic)
        self._followers = Followers(sight, Writer(api, services))
        self._observers = Observers(sight)
        self._heartbeat = Heartbeat()
        self._life = Life()
        self._synced = False
        api.may_write = self._elector.require

    async def run(self) -> int:
        """Run until a signal or a fault; returns the exit code."""
        health = HealthServer(
            self._settings.http_host,
            self._settings.http_port,
            alive=is_alive(self._heartbeat),
            ready=lambda: self._synced,
            registry=process_registry(
                metrics.PREFIX, metrics.REGISTRY, common_metrics.CLIENT, common_metrics.LEASE
            ),
        )
        self._life.listen_to_signals()
        await health.start()
        self._life.spawn("heartbeat", self._heartbeat.run())
        self._life.spawn("life", self._live())
        await self._life.over.wait()
        log.info("stopping")
        await health.stop()
        await self._life.end()
        await self._observers.close()
        await self._elector.release()
        return self._life.exit_code

    async def _live(self) -> None:
        """Start everything in order, then lead for as long as that lasts."""
        started = time.monotonic()
        scopes = await wait_for_readable(self._api, self._settings.scopes)
        await self._watch_all(scopes)
        if self._settings.namespaces:
            self._life.spawn("rights", guard_rights(self._api, self._settings.scopes, scopes))
        self._synced = True
        common_metrics.SYNCED.set(1)
        log.info("synced", extra={"seconds": round(time.monotonic() - started, 3)})
        scaler = ExternalScaler(self._observers)
        self._life.spawn("scaler", serve(scaler, self._settings.grpc_host, self._settings.grpc_port))
        self._life.spawn("leader", self._elector.run())
        await self._elector.acquired.wait()
        await self._followers.run()

    async def _watch_all(self, scopes: Scopes) -> None:
        """Watch both kinds in each namespace; returns once all are listed."""
        watches: list[ResourceWatch] = []
        for scope in scopes:
            watches += (
                ResourceWatch(self._api, MODEL_SERVICES, self._services, namespace=scope),
                ResourceWatch(
                    self._api, ENDPOINT_SLICES, self._endpoints, namespace=scope, selector=SELECTOR
                ),
            )
        for watch in watches:
            self._life.spawn("watch", watch.run())
        for watch in watches:
            await watch.listed.wait()


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run until stopped; returns the exit code: 0 after a signal, 1 after a fault."""
    settings = parse_settings(argv, environment)
    setup_logging(settings.log_level)
    try:
        return asyncio.run(run_autoscaler(settings))
    except OperatorError as error:
        log.critical("%s", error)
        return 1


async def run_autoscaler(settings: AutoscalerSettings) -> int:
    """Run one replica with these settings; returns the process's exit code."""
    async with ApiClient(load_credentials(settings), manager=NAME) as api:
        return await Autoscaler(settings, api).run()
