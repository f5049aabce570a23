"""A worker process: `python -m modelservice_runtime worker DESCRIPTOR`, as the supervisor calls it."""

import asyncio
import logging
import socket

import uvloop

from modelservice_runtime.errors import StartupError
from modelservice_runtime.machine.process import configure_process, end_process
from modelservice_runtime.serving.serve import Server
from modelservice_runtime.workers.worker import WorkerLink

log = logging.getLogger(__name__)


def run_worker(descriptor: int) -> int:
    """Serve over the inherited end of a socket pair; returns the exit code."""
    configure_process()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failure, clean = runner.run(_work(socket.socket(fileno=descriptor)))
    code = 0 if failure is None else 1
    end_process(code, clean=clean)
    return code


async def _work(end: socket.socket) -> tuple[StartupError | None, bool]:
    """Why the worker failed, if it did, and whether everything could be brought to its end."""
    link = WorkerLink(asyncio.get_running_loop())
    settings = await link.open(end)
    server = Server(settings, link)
    try:
        clean = await server.serve()
    except StartupError as error:
        await link.close(str(error))
        return error, True
    await link.close("" if server.failure is None else str(server.failure))
    log.info("worker stopped")
    return server.failure, clean and server.failure is None
