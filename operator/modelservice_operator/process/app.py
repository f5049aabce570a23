"""The operator's life: what starts when, and how it ends.

Order: probes; the API and our CRDs are there; children listed and watched; ModelServices and ModelRuntimes
listed; kopf watches them; ready. Then the Lease, and only with it the workers. The end in reverse: workers
finish their keys, the Lease is released, kopf stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from modelservice_operator import common_metrics, metrics
from modelservice_operator.cache.activators import ActivatorPods
from modelservice_operator.cache.ingest import CHILD_DEBOUNCE_SECONDS, Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import WorkQueue
from modelservice_operator.client.credentials import load_credentials
from modelservice_operator.client.events import Recorder
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.facts.errors import ApiError, OperatorError
from modelservice_operator.facts.kinds import (
    CHILD_BY_KIND,
    CHILDREN,
    ENDPOINT_SLICES,
    GATEWAY_KINDS,
    MODEL_RUNTIMES,
    MODEL_SERVICES,
    OPTIONAL_CHILDREN,
    RUNTIME_ROLLOUTS,
    selector_of,
)
from modelservice_operator.facts.labels import SLICE_OF
from modelservice_operator.facts.observed import ClusterFacts
from modelservice_operator.process.collector import search_rarely, spare_what_lives
from modelservice_operator.process.health import HealthServer
from modelservice_operator.process.leader import LeaderElector
from modelservice_operator.process.life import Life
from modelservice_operator.process.logs import setup_logging
from modelservice_operator.process.runtimes_file import load_runtimes
from modelservice_operator.process.states import StatesPage
from modelservice_operator.process.watchdog import Heartbeat, guard_tasks, is_alive
from modelservice_operator.settings import parse_settings
from modelservice_operator.sources.auditor import Auditor
from modelservice_operator.sources.autoscaler import AutoscalerLook
from modelservice_operator.sources.children import ChildListener, FleetListener, GatewayListener
from modelservice_operator.sources.framework import KopfFlags, run_kopf, watcher_names
from modelservice_operator.sources.namespaces import guard_rights, wait_for_readable
from modelservice_operator.sources.offers import Absence, Offers
from modelservice_operator.sources.watch import ResourceWatch
from modelservice_operator.work.concurrency import ConcurrencyLimit
from modelservice_operator.work.fleet import FleetReconciler, Turns
from modelservice_operator.work.measure.measurer import Measurer
from modelservice_operator.work.pods.reader import PodReader
from modelservice_operator.work.pods.rounds import Rounds
from modelservice_operator.work.reconcile import Reconciler, work
from modelservice_operator.work.report import Reporter
from modelservice_operator.work.standby.listening import Listening
from modelservice_operator.work.standby.standby import Standbys
from modelservice_operator.work.writes.apply import Applier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.facts.kinds import Resource
    from modelservice_operator.settings import Settings
    from modelservice_operator.sources.namespaces import Scopes

log = logging.getLogger(__name__)

WAIT_FOR_CRDS_SECONDS = 2.0
DRAIN_SECONDS = 3.0
"""A reconciliation is a few calls of some milliseconds; what takes longer is done again after the restart."""
KOPF_STOP_SECONDS = 3.0


class Operator:
    """One replica of the operator."""

    def __init__(self, settings: Settings, api: ApiClient) -> None:
        self._settings = settings
        self._api = api
        self._store = Store()
        self._queue = WorkQueue(most_per_namespace=settings.workers)
        self._ingest = Ingest(self._store, self._queue)
        self._elector = LeaderElector(api, settings.lease)
        self._owns_runtimes = bool(settings.runtimes_file)
        self._kinds = (MODEL_SERVICES,) if self._owns_runtimes else (MODEL_RUNTIMES, MODEL_SERVICES)
        self._recorder = Recorder(api, settings.lease.identity)
        self._heartbeat = Heartbeat()
        self._watches: list[ResourceWatch] = []
        self._offers = Offers(api)
        self._store.cluster = ClusterFacts(
            scaler_address=settings.scaler_address,
            components=tuple(peer.to_dict() for peer in settings.component_peers),
            namespaces=settings.namespaces,
        )
        for runtime in load_runtimes(settings.runtimes_file) if self._owns_runtimes else ():
            self._ingest.on_runtime(None, runtime)
        self._life = Life()
        pods = PodReader(api, self._on_pods, reads_nodes=not self._owns_runtimes)
        self._rounds = Rounds(api, pods, self._on_pods)
        services = Reconciler(
            store=self._store,
            applier=Applier(api, self._store, self._ingest),
            reporter=Reporter(
                api=api,
                ingest=self._ingest,
                pods=pods,
                rounds=self._rounds,
                measurer=Measurer(self._on_pods),
                recorder=self._recorder,
                concurrency=ConcurrencyLimit(most=settings.workers, tell=self._queue.limit),
            ),
            pods=pods,
            standbys=Standbys(
                api=api,
                pods=pods,
                book=self._store.ports,
                listening=Listening(self._queue.add),
                activators=self._follow_activators(),
            ),
            network_policy=settings.network_policy,
        )
        fleet = FleetReconciler(
            api=api,
            store=self._store,
            ingest=self._ingest,
            queue=self._queue,
            recorder=self._recorder,
        )
        self._reconciler = Turns(services=services, fleet=fleet)
        self._stop_kopf = asyncio.Event()
        self._synced = False
        api.may_write = self._elector.require

    def _watch_all(self, scopes: Scopes) -> None:
        """Watch everything but our own kinds; what belongs to no namespace only where it may be read."""
        for resource in (*CHILDREN, *OPTIONAL_CHILDREN, *GATEWAY_KINDS):
            if resource.namespaced:
                self._watches += [self._watch(resource, scope) for scope in scopes]
            elif not self._owns_runtimes:
                self._watches.append(self._watch(resource, None))
        self._watch_fleet()
        for watch in self._watches:
            self._life.spawn("watch", watch.run())

    def _watch_fleet(self) -> None:
        """Watch RuntimeRollouts; one that serves some namespaces alone leaves them to nobody."""
        if self._settings.namespaces:
            log.info(
                "RuntimeRollouts are left alone: they are of the whole cluster, and this operator is not"
            )
            return
        listener = FleetListener(self._store, self._ingest)
        absence = Absence(listener.on_absent, self._offers)
        self._watches.append(ResourceWatch(self._api, RUNTIME_ROLLOUTS, listener, absence=absence))

    def _watch(self, resource: Resource, scope: str | None) -> ResourceWatch:
        listens = ChildListener if resource.kind in CHILD_BY_KIND else GatewayListener
        listener = listens(self._store, self._ingest, resource, scope)
        return ResourceWatch(
            self._api,
            resource,
            listener,
            namespace=scope,
            selector=selector_of(resource),
            absence=Absence(listener.on_absent, self._offers) if resource not in CHILDREN else None,
        )

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
            more=StatesPage(
                self._store, lambda: self._elector.is_leading, self._settings.most_reported_services
            ),
        )
        self._life.listen_to_signals()
        await health.start()
        self._life.spawn("heartbeat", self._heartbeat.run())
        # Tasks that exist before kopf starts are left alone by kopf when it ends.
        self._life.spawn("recorder", self._recorder.run())
        self._life.spawn("life", self._live())
        await self._life.over.wait()
        await health.stop()
        await self._shut_down()
        return self._life.exit_code

    async def _live(self) -> None:
        """Start everything in order, then lead for as long as that lasts."""
        settings = self._settings
        scopes = await wait_for_readable(self._api, settings.scopes)
        await self._wait_for_crds(scopes)
        started = time.monotonic()
        self._watch_all(scopes)
        for watch in self._watches:
            await watch.listed.wait()
        auditor = Auditor(self._api, self._store, self._ingest, scopes=scopes, kinds=self._kinds)
        versions = await self._fill_cache(auditor)
        self._life.spawn("auditor", auditor.run(settings.audit_interval_seconds))
        await self._start_kopf(scopes, versions)
        self._life.spawn("watchdog", guard_tasks(watcher_names(scopes, self._kinds)))
        if settings.namespaces:
            self._life.spawn("rights", guard_rights(self._api, settings.scopes, scopes))
        spare_what_lives()
        self._synced = True
        common_metrics.SYNCED.set(1)
        log.info(
            "cache synced", extra={"seconds": round(time.monotonic() - started, 3), **self._store.counts()}
        )
        self._life.spawn("leader", self._elector.run())
        if (lease := settings.autoscaler_lease) is not None:
            look = AutoscalerLook(api=self._api, ingest=self._ingest, namespace=lease[0], name=lease[1])
            self._life.spawn("autoscaler", look.run())
        await self._elector.acquired.wait()
        self._life.spawn("rounds", self._rounds.run())
        # One more than a namespace may have: another one's edit waits for nobody.
        for _ in range(settings.workers + 1):
            self._life.spawn("worker", work(self._queue, self._reconciler))
        await asyncio.Event().wait()

    async def _start_kopf(self, scopes: Scopes, versions: Mapping[str, str]) -> None:
        started = asyncio.Event()
        flags = KopfFlags(started=started, stop=self._stop_kopf)
        kopf = run_kopf(self._api, self._ingest, flags, scopes=scopes, kinds=self._kinds, versions=versions)
        self._life.spawn("kopf", kopf)
        await started.wait()
        # kopf has just put its own signal handlers in; ours stop the workers before kopf.
        self._life.listen_to_signals()

    async def _wait_for_crds(self, scopes: Scopes) -> None:
        """Wait until the API server answers and serves our kinds."""
        while True:
            try:
                for resource in self._kinds:
                    await self._api.check_served(resource, scopes[0])
            except ApiError as error:
                log.warning("waiting for the API server and the CRDs: %s", error.message)
                await asyncio.sleep(WAIT_FOR_CRDS_SECONDS)
            else:
                return

    async def _fill_cache(self, auditor: Auditor) -> Mapping[str, str]:
        while True:
            try:
                return await auditor.fill()
            except ApiError as error:
                log.warning("cannot list ModelServices and ModelRuntimes: %s", error.message)
                await asyncio.sleep(WAIT_FOR_CRDS_SECONDS)

    def _follow_activators(self) -> ActivatorPods | None:
        """Watch the pods of the activator, where there is one."""
        if self._settings.activator is None:
            return None
        namespace, name = self._settings.activator
        pods = ActivatorPods(namespace, self._on_activators)
        selector = f"{SLICE_OF}={name}"
        self._watches.append(
            ResourceWatch(self._api, ENDPOINT_SLICES, pods, namespace=namespace, selector=selector)
        )
        return pods

    def _on_activators(self) -> None:
        """Other activators are ready: that concerns the services that have ports of theirs, and no others."""
        for key in self._store.ports.keys:
            self._queue.add(key)

    def _on_pods(self, key: Key) -> None:
        """Pods of a service changed while somebody looks at them."""
        self._queue.add(key, after_seconds=CHILD_DEBOUNCE_SECONDS)

    async def _shut_down(self) -> None:
        """Finish the keys in work, hand the Lease over, end all tasks."""
        log.info("stopping")
        self._queue.close()
        if self._elector.is_leading:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._queue.drained(), DRAIN_SECONDS)
        await self._life.end(spared=("kopf",))
        await self._elector.release()
        self._stop_kopf.set()
        await self._life.wait(KOPF_STOP_SECONDS)


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run until stopped; returns the exit code: 0 after a signal, 1 after a fault."""
    settings = parse_settings(argv, environment)
    setup_logging(settings.log_level)
    search_rarely()
    try:
        return asyncio.run(run_operator(settings))
    except OperatorError as error:
        log.critical("%s", error)
        return 1


async def run_operator(settings: Settings) -> int:
    """Run one replica with these settings; returns the process's exit code."""
    async with ApiClient(load_credentials(settings)) as api:
        return await Operator(settings, api).run()
