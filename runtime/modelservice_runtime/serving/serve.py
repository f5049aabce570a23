"""The server's life: listen, try the models, load, warm up, serve, drain.

The ports open first, so liveness and the state of loading can be asked for; readiness follows when every
model has passed its trial and is loaded and warm. On SIGTERM readiness ends at once and requests go on being
answered for the drain delay, until every proxy has learned of it; then the last ones finish. SIGINT skips the
delay.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from modelservice_runtime.auth.loading import LoadedGuard, load_guard
from modelservice_runtime.errors import AcceleratorFailedError, StartupError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.sharing import log_batching
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.machine.file_watch import FilePoller
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.machine.last_words import last_words
from modelservice_runtime.machine.process import configure_process, end_process, report_fatal
from modelservice_runtime.models.content import LoadedFiles, ModelContent, read_in_background
from modelservice_runtime.models.forked_trial import ForkedTrial, fork_trial
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.loading import (
    LoadedModel,
    build_lane_settings,
    describe_crash,
    find_sources,
    load_and_warm_up,
    run_in_thread,
)
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.models.trial import try_models
from modelservice_runtime.observe.setup import make_observation
from modelservice_runtime.protocols.application import build_application
from modelservice_runtime.protocols.late import LateApplication, LateServices
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.serving import load, report
from modelservice_runtime.serving.generative import GenerativeModels
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.load import LoadPage, ProcessLoad
from modelservice_runtime.serving.memory_keeper import MemoryKeeper
from modelservice_runtime.serving.pages import Page, PagesApplication
from modelservice_runtime.serving.ports import Applications, Ports, open_ports
from modelservice_runtime.serving.report import ReportPage
from modelservice_runtime.settings.serve import ServeSettings, parse_serve_arguments
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication
from modelservice_runtime.transport.sockets import available_host
from modelservice_runtime.transport.tls import LoadedTls, load_tls
from modelservice_runtime.workers.worker import WorkerLink

if TYPE_CHECKING:
    from modelservice_runtime.audit.audit import Audit, AuditedEntrance
    from modelservice_runtime.models.generative import LoadedGenerative
    from modelservice_runtime.models.versions import VersionSource

log = logging.getLogger(__name__)

# A run that was told to stop does so within about 50 ms; what is left after this is beyond our reach.
_STOP_GRACE_SECONDS = 1.0
# What `late` parts import. Not Prometheus, which takes megabytes that a server without scrapes can save.
_LATE_MODULES = (
    "modelservice_runtime.protocols.openai.front_end",
    "modelservice_runtime.protocols.tfs.rest.front_end",
    "modelservice_runtime.protocols.openapi.rest",
    "modelservice_runtime.protocols.grpc_services",
)


def run(argv: Sequence[str]) -> int:
    """Run `serve` with these flags; returns the exit code."""
    try:
        settings = parse_serve_arguments(argv)
    except StartupError as error:
        return report_fatal(error)
    return run_server(settings)


def run_server(settings: ServeSettings) -> int:
    """Serve until a signal; returns the exit code."""
    is_tried_here = settings.workers == 1 and settings.model_trial_seconds is not None
    trial = fork_trial(decode_sample) if is_tried_here else None  # before there are other threads
    configure_process()
    settings = replace(settings, host=available_host(settings.host))
    if settings.workers > 1:
        # Imported here: one process alone needs none of it.
        from modelservice_runtime.serving.supervisor import supervise

        return supervise(settings)
    server = Server(settings, trial=trial)
    try:
        with trial or contextlib.nullcontext(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            clean = runner.run(server.serve())
    except StartupError as error:
        return report_fatal(error)
    log.info("stopped")
    code = 0 if server.failure is None else report_fatal(server.failure)
    end_process(code, clean=clean and server.failure is None)
    return code


class Server:
    """One process's ports, models and life cycle; with `link` it is one of several workers.

    A worker listens when its models are loaded, for the kernel would send it requests before, and its parent
    has the metrics port.
    """

    def __init__(
        self, settings: ServeSettings, link: WorkerLink | None = None, trial: ForkedTrial | None = None
    ) -> None:
        self._trial = trial
        self._settings = settings
        self._link = link
        self._audit = _make_audit(settings)
        self._table = ModelTable() if self._audit is None else self._audit.table
        self._health = Health(self._table)
        self._stop = asyncio.Event()
        self._sources: list[VersionSource] = []
        self._observation = make_observation(settings.access_log, os.environ)
        self._memory = MemoryKeeper(settings)
        self._poller: FilePoller
        self._skip_delay = False
        self._files: dict[tuple[str, str], LoadedFiles] = {}
        self._life = Life()
        self._load = ProcessLoad(self._table)
        self._generative = GenerativeModels(settings, self._table)

    @property
    def failure(self) -> StartupError | None:
        """Why this process cannot go on although nobody asked it to end, or None."""
        return self._health.failure

    async def serve(self) -> bool:
        """Serve until a signal; False when requests had to be cut off. Raises StartupError."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._on_signal, name)
        access, tls = load_guard(self._settings.security), load_tls(self._settings.security.tls)
        poller = self._poller = FilePoller((*access.files, *tls.files), loop, self._tell_files)
        self._declare_models()
        if self._link is None:
            ports = await self._listen(loop, access, tls)
        if not await self._try_models(loop) or not await self._load_models(loop):
            return False
        if self._link is not None:
            self._health.wait_for_others()
            ports = await self._listen(loop, access, tls)
            self._link.serve(self._table, self._load, self._health.stop_waiting)
            self._link.tell_ready(self._life.warm_seconds)
        self._life.become_ready()
        # Everything made so far lives as long as the process: keep the collector from visiting it again.
        gc.collect()
        gc.freeze()
        self._read_contents(loop)
        self._memory.keep(self._table, ports, loop)
        log.info("ready" if self._link is None else "worker ready", extra=self._life.log_fields())
        # Only now, and before somebody asks who would wait for it.
        threading.Thread(target=_import_late_modules, name="imports", daemon=True).start()
        await self._stop.wait()
        clean = await self._drain(ports)
        self._memory.stop()
        if ports.metrics is not None:
            await ports.metrics.drain(0)
        poller.stop()
        await asyncio.to_thread(self._observation.close)
        if self._audit is not None:
            await asyncio.to_thread(self._audit.close)
        return clean

    def _read_contents(self, loop: asyncio.AbstractEventLoop) -> None:
        """Only now: nobody waits for it, and those who wait for the server shall not wait longer."""

        def tell(version: tuple[str, str], content: ModelContent) -> None:
            loop.call_soon_threadsafe(self._table.set_content, *version, content)

        read_in_background([(files, partial(tell, version)) for version, files in self._files.items()])
        self._files.clear()

    def _tell_files(self, refused: dict[str, bool]) -> None:
        if self._link is not None:
            self._link.tell_files(refused)

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("signal received", extra={"signal": number.name})
        self._health.start_draining()
        if number is signal.SIGINT:
            self._skip_delay = True
        self._stop.set()

    def _on_device_lost(self) -> None:
        """No call of this process reaches the accelerator any more: leave, so that a new process starts."""
        if self._health.failure is None:
            log.error("the accelerator failed; this process drains and ends")
        self._health.fail(
            AcceleratorFailedError(
                "the accelerator reported an error that only a new process can clear; "
                "look for Xid messages in the node's kernel log if it comes back"
            )
        )
        self._stop.set()

    def _declare_models(self) -> None:
        self._sources = find_sources(self._settings)
        for source in self._sources:
            self._table.declare(source.name, source.version)
        self._generative.plan(self._sources)

    async def _listen(self, loop: asyncio.AbstractEventLoop, access: LoadedGuard, tls: LoadedTls) -> Ports:
        largest = self._settings.max_request_bytes
        rest = build_application(self._table, self._health, largest, self._settings.security)
        streams = OpenStreams()
        entrance = access if self._audit is None else self._audit.around(access)
        applications = Applications(
            rest=self._observation.watch(entrance.protect(rest)),
            metrics=self._metrics_application() if self._link is None else None,
            grpc=LateServices(partial(self._make_grpc_services, entrance, streams, loop)),
            grpc_streams=streams,
            admit=entrance.admission,
            admit_http=entrance.http_admission,
        )
        return await open_ports(self._settings, applications, tls, loop)

    def _make_grpc_services(
        self, entrance: "LoadedGuard | AuditedEntrance", streams: OpenStreams, loop: asyncio.AbstractEventLoop
    ) -> Mapping[str, Service]:
        from modelservice_runtime.protocols.grpc_services import build_grpc_services

        services = build_grpc_services(self._table, self._health, streams, loop)
        return self._observation.watch_services(entrance.watch(services))

    def _metrics_application(self) -> HttpApplication:
        pages: dict[bytes, Page] = {
            report.PATH: ReportPage(self._table, self._life),
            load.PATH: LoadPage(self._load, self._life),
        }
        return PagesApplication(pages, LateApplication(self._make_metrics))

    def _make_metrics(self) -> HttpApplication:
        # Imported here: it takes longer than a small model to load, and nobody scrapes before it is ready.
        from modelservice_runtime.observe.generation_metrics import GenerationMetrics
        from modelservice_runtime.observe.metrics import FileGauges, MetricsApplication

        files = FileGauges(lambda: self._poller.refused)
        return MetricsApplication(
            self._table, open_gpus(), [files, GenerationMetrics(self._table.generative)]
        )

    async def _try_models(self, loop: asyncio.AbstractEventLoop) -> bool:
        """See `models.trial.try_models`. Of several workers none does it, for their parent has."""
        limit_seconds = self._settings.model_trial_seconds
        if limit_seconds is None:
            return True
        trials = asyncio.ensure_future(
            try_models(self._sources, self._settings.session, limit_seconds, self._stop, self._trial)
        )
        # Meanwhile this process imports what takes longest.
        load = partial(importlib.import_module, "modelservice_runtime.onnx.model")
        importing = run_in_thread(loop, load, "imports")
        await self._unless_stopped(asyncio.ensure_future(asyncio.wait((trials, importing))))
        return await trials and await self._unless_stopped(importing)

    async def _load_models(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Load all models beside the event loop; False when a signal or a failure came first."""

        def on_device_lost() -> None:
            loop.call_soon_threadsafe(self._on_device_lost)

        paths = [source.path for source in self._sources]
        preparing = partial(self._memory.open_arena, paths, self._generative.cache_bytes)
        if not await self._unless_stopped(run_in_thread(loop, preparing, "arena")):
            return False
        for source in self._sources:
            self._table.start_loading(source.name, source.version)
            loading = run_in_thread(loop, self._loading(source, on_device_lost), f"load-{source.name}")
            # Around the wait, not around the load: a server that is stopped meanwhile takes them back.
            with last_words(describe_crash(source)):
                if not await self._unless_stopped(loading):
                    return False
            self._publish(source, loading.result(), loop)
        return not self._stop.is_set()

    def _loading(
        self, source: "VersionSource", on_device_lost: Callable[[], None]
    ) -> "Callable[[], LoadedModel | LoadedGenerative]":
        if self._generative.has(source):
            return partial(self._generative.load, source, on_device_lost)
        return partial(load_and_warm_up, source, self._settings, decode_sample, on_device_lost)

    async def _unless_stopped(self, work: asyncio.Future[Any]) -> bool:
        """Wait for `work`; False when a signal or a failure came first. Raises what it raises."""
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not work.done():
            return False
        work.result()
        return True

    def _publish(
        self,
        source: "VersionSource",
        loaded: "LoadedModel | LoadedGenerative",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._life.warm_seconds += loaded.warm_seconds
        if isinstance(loaded, LoadedModel):
            self._publish_tensors(loaded, loop)
        else:
            self._files[source.name, source.version] = self._generative.publish(source, loaded)

    def _publish_tensors(self, loaded: LoadedModel, loop: asyncio.AbstractEventLoop) -> None:
        settings, warm_up = self._settings, loaded.warm_up
        spec = loaded.model.spec
        log_batching(spec, warm_up.batching)
        lane_settings = build_lane_settings(settings, loaded, alone=len(self._sources) == 1)
        statistics = ModelStatistics()
        lane = Lane(loaded.model, lane_settings, statistics, loop, warm_up)
        self._table.publish(ModelHandle(spec, lane, statistics, loaded.texts))
        self._files[spec.name, spec.version] = loaded.files
        for label in settings.version_labels:
            if (label.model, label.version) == (spec.name, spec.version):
                self._table.set_label(label.model, label.label, label.version)
        log.info("model ready", extra=_model_fields(loaded, lane))

    async def _drain(self, ports: Ports) -> bool:
        ports.start_closing()
        if not self._skip_delay:
            await asyncio.sleep(self._settings.drain_delay_seconds)
        clean = await ports.drain(self._settings.drain_timeout_seconds)
        lanes = [handle.lane for handle in self._table.handles()]
        if not clean:
            self._generative.stop_runs()
            for lane in lanes:
                lane.stop_runs()
            await asyncio.sleep(_STOP_GRACE_SECONDS)
        self._generative.retire()
        for handle in self._table.handles():
            self._table.retire(handle.spec.name, handle.spec.version)
        return clean


def _make_audit(settings: ServeSettings) -> "Audit | None":
    mode = settings.security.audit_log
    if mode is None:
        return None
    # Imported here: most servers have no audit log.
    from modelservice_runtime.audit.audit import Audit

    return Audit(mode)


def _import_late_modules() -> None:
    for name in _LATE_MODULES:
        importlib.import_module(name)
    gc.freeze()


def _model_fields(loaded: LoadedModel, lane: Lane) -> dict[str, object]:
    run_seconds = loaded.warm_up.run_seconds
    fields: dict[str, object] = {
        "model": loaded.model.spec.name,
        "version": loaded.model.spec.version,
        "inline": lane.runs_inline,
        "max_batch_size": lane.max_batch_size,
    }
    if run_seconds is not None:
        fields["run_microseconds"] = round(run_seconds * 1e6, 1)
    if loaded.warm_up.note:
        fields["note"] = loaded.warm_up.note
    return fields
