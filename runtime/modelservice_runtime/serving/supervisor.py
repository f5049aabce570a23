"""The parent of several workers: starts them, passes signals on, replaces those that die.

A worker that cannot start ends the server with the worker's own sentence, as long as the server has not been
ready; later, a worker that ends is started anew, after a pause that grows with every early death. The others
go on meanwhile: the kernel gives a dead process no connections.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

import uvloop

from modelservice_runtime.errors import StartupError, WorkerFailedError
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.machine.process import report_fatal
from modelservice_runtime.models.loading import find_sources
from modelservice_runtime.models.trial import try_models
from modelservice_runtime.observe.metrics import FileGauges, MetricsApplication
from modelservice_runtime.serving import load, report
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.load import GroupLoad, LoadPage
from modelservice_runtime.serving.pages import Page, PagesApplication
from modelservice_runtime.serving.ports import METRICS_LIMITS, saying_flag
from modelservice_runtime.serving.report import ReportPage
from modelservice_runtime.settings.plain_values import to_plain
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.transport.http1.server import HttpServer
from modelservice_runtime.workers.answers import LOAD_TOPIC, MODELS_TOPIC, WorkerAnswers
from modelservice_runtime.workers.gauges import WorkerGauges
from modelservice_runtime.workers.link import Link
from modelservice_runtime.workers.messages import FATAL, FILES, GROUP_READY, READY, SETTINGS
from modelservice_runtime.workers.shared_port import SharedPort

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A worker that lived this long died of something new.
_STABLE_SECONDS = 60.0
# Beyond the drain that every worker does by itself.
_END_GRACE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class _Worker:
    """One living worker."""

    process: asyncio.subprocess.Process
    link: Link
    started: float
    ready: bool = False
    refused_files: dict[str, bool] = field(default_factory=dict)
    sentence: str = ""


def supervise(settings: ServeSettings) -> int:
    """Serve with several workers until a signal; returns the exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(_supervise(settings))
    except StartupError as error:
        return report_fatal(error)
    log.info("stopped")
    return 0 if failure is None else report_fatal(failure)


async def _supervise(settings: ServeSettings) -> StartupError | None:
    supervisor = Supervisor(settings, asyncio.get_running_loop())
    await supervisor.serve()
    return supervisor.failure


class Supervisor:
    """See the module's text. `failure` is why the server ended although nobody asked it to, or None."""

    def __init__(self, settings: ServeSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._reports = WorkerAnswers(loop, MODELS_TOPIC)
        self._loads = WorkerAnswers(loop, LOAD_TOPIC)
        self._gauges = WorkerGauges()
        self._workers: dict[int, _Worker] = {}
        self._stop = asyncio.Event()
        self._all_ready = False
        self._life = Life()
        self.failure: StartupError | None = None

    async def serve(self) -> None:
        """Keep the workers alive until a signal. Raises StartupError."""
        for name in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(name, self._on_signal, name)
        pages: dict[bytes, Page] = {
            report.PATH: ReportPage(self._reports, self._life),
            load.PATH: LoadPage(GroupLoad(self._loads), self._life),
        }
        prometheus = MetricsApplication(
            self._reports, open_gpus(), [self._gauges, FileGauges(self._refused_files)]
        )
        metrics = HttpServer(PagesApplication(pages, prometheus), METRICS_LIMITS, self._loop)
        with contextlib.ExitStack() as held:
            await self._listen(held, metrics)
            await self._try_models()
            keepers = [self._loop.create_task(self._keep(index)) for index in range(self._settings.workers)]
            stopped = self._loop.create_task(self._stop.wait())
            await asyncio.wait([stopped, *keepers], return_when=asyncio.FIRST_COMPLETED)
            await self._end(keepers)
        await metrics.drain(0)

    async def _listen(self, held: contextlib.ExitStack, metrics: HttpServer) -> None:
        """Find the workers' ports, and open the one that is ours."""
        settings = self._settings
        ports: dict[str, Any] = {}
        for name, port in (("http", settings.http_port), ("grpc", settings.grpc_port)):
            if port is not None:
                with saying_flag(f"{name}-port"):
                    ports[f"{name}_port"] = held.enter_context(SharedPort(settings.host, port)).number
        self._settings = replace(settings, **ports)
        with saying_flag("metrics-port"):
            metrics_port = await metrics.listen(settings.host, settings.metrics_port)
        listening = {"host": settings.host, **ports, "metrics_port": metrics_port}
        log.info("listening", extra={**listening, "workers": settings.workers})

    async def _try_models(self) -> None:
        """Once for all workers, which then load without a trial. Raises StartupError."""
        settings, limit_seconds = self._settings, self._settings.model_trial_seconds
        if limit_seconds is not None:
            await try_models(find_sources(settings), settings.session, limit_seconds, self._stop)
            self._settings = replace(settings, model_trial_seconds=None, verify_proof=False)

    def _on_signal(self, number: signal.Signals) -> None:
        log.info("signal received", extra={"signal": number.name})
        self._stop.set()
        self._signal_workers(number)

    def _signal_workers(self, number: signal.Signals) -> None:
        # Before all are ready nobody was sent to any of them, and one that imports would take its time.
        sent = number if self._all_ready else signal.SIGKILL
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(sent)

    async def _keep(self, index: int) -> None:
        """Have a worker at this place, until the server stops."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            worker = await self._start(index)
            code = await worker.process.wait()
            del self._workers[index]
            self._check_ready()
            if self._stop.is_set():
                return
            fields = {"worker": index, "exit_code": code, "reason": worker.sentence}
            if not self._all_ready:
                self._fail(worker, code)
                return
            if time.monotonic() - worker.started > _STABLE_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            log.error("a worker ended; it is started again", extra={**fields, "pause_seconds": pause_seconds})
            self._gauges.restarts += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    def _fail(self, worker: _Worker, code: int) -> None:
        """A worker could not start: neither could the others, or the next one."""
        reason, separator, sentence = worker.sentence.partition(": ")
        if not separator:
            reason, sentence = "", f"a worker ended while it started, with code {code}; its log says why"
        self.failure = self.failure or WorkerFailedError(sentence, reason)
        self._stop.set()

    async def _start(self, index: int) -> _Worker:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            # -P: a module that lies in the directory the server was started in is not meant.
            sys.executable, "-P", "-m", "modelservice_runtime", "worker", str(theirs.fileno()),
            pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL,
            # A terminal's interrupt reaches the parent alone, which passes it on.
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        link = await Link.open(
            ours,
            lambda message: self._on_message(index, message),
            lambda: self._forget(link),
        )
        worker = self._workers[index] = _Worker(process, link, time.monotonic())
        if self._stop.is_set():
            process.kill()  # the signal came before there was a worker to pass it on to
        link.send({SETTINGS: to_plain(self._settings)})
        return worker

    def _on_message(self, index: int, message: dict[str, Any]) -> None:
        worker = self._workers.get(index)
        if worker is None:
            return
        if READY in message:
            worker.ready = True
            if not self._all_ready:
                # They warm up side by side.
                self._life.warm_seconds = max(self._life.warm_seconds, message[READY])
            self._reports.add(worker.link)
            self._loads.add(worker.link)
            self._check_ready()
        if FILES in message:
            worker.refused_files = message[FILES]
        if FATAL in message:
            worker.sentence = message[FATAL]
        self._reports.receive(worker.link, message)
        self._loads.receive(worker.link, message)

    def _refused_files(self) -> dict[str, bool]:
        """Those that any worker refuses; a worker that has seen no change has told of none."""
        refused: dict[str, bool] = {}
        for worker in self._workers.values():
            for name, is_refused in worker.refused_files.items():
                refused[name] = is_refused or refused.get(name, False)
        return refused

    def _forget(self, link: Link) -> None:
        self._reports.remove(link)
        self._loads.remove(link)

    def _check_ready(self) -> None:
        """The server is ready when all workers are; one that comes later joins at once."""
        ready = [worker for worker in self._workers.values() if worker.ready]
        self._gauges.ready = len(ready)
        if not self._all_ready and len(ready) == self._settings.workers:
            self._all_ready = True
            self._life.become_ready()
            log.info("ready", extra={**self._life.log_fields(), "workers": len(ready)})
        if self._all_ready:
            for worker in ready:
                worker.link.send({GROUP_READY: True})

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        """Wait for the workers' own drain; kill what is left."""
        if not self._stop.is_set() or self.failure is not None:
            self._signal_workers(signal.SIGINT)
        settings = self._settings
        seconds = settings.drain_delay_seconds + settings.drain_timeout_seconds + _END_GRACE_SECONDS
        await asyncio.wait(keepers, timeout=seconds)
        for worker in self._workers.values():
            log.error("a worker did not end in time and is killed", extra={"pid": worker.process.pid})
            worker.process.kill()
        await asyncio.gather(*keepers)
