"""`python -m modelservice_pipeline.explainer --url http://spam/v2/models/spam`: what its pods run."""

import argparse
import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.explain import METHODS
from modelservice_pipeline.explainer.server import Explainer, Settings
from modelservice_pipeline.explainer.tls import Files, ServerTls

_DRAIN_DELAY_SECONDS = 5.0
"""Until every proxy has heard that the pod is going."""
_DRAIN_SECONDS = 20.0
"""With the delay less than the 30 s that a pod has."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; None stands for that of the process."""
    parser = argparse.ArgumentParser(
        prog="modelservice_pipeline.explainer", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--url", required=True, help="of the model, ending in /v2/models/NAME")
    parser.add_argument("--method", choices=METHODS, default="lime", help="where a request names none")
    parser.add_argument("--host", default="127.0.0.1", help=":: is every address of IPv4 and IPv6")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--tls-cert", type=Path, help="PEM: the certificate that it and the model show")
    parser.add_argument("--tls-key", type=Path, help="PEM: its key, without a passphrase")
    parser.add_argument("--ca-file", type=Path, help="PEM: the certificate's authority; it may be absent")
    parser.add_argument("--drain-delay-seconds", type=float, default=_DRAIN_DELAY_SECONDS)
    arguments = parser.parse_args(argv)
    given = [one is not None for one in (arguments.tls_cert, arguments.tls_key, arguments.ca_file)]
    if any(given) and not all(given):
        parser.error("--tls-cert, --tls-key and --ca-file go together")
    return arguments


def main() -> None:
    """Serve until a signal ends it."""
    arguments = parse_arguments()
    files = Files(arguments.tls_cert, arguments.tls_key, arguments.ca_file) if arguments.tls_cert else None
    try:
        tls = ServerTls(files) if files else None
    except PipelineError as error:
        raise SystemExit(str(error)) from None
    listener = _listen(arguments.host, arguments.port)
    explainer = Explainer(Settings(arguments.url, arguments.method, files))
    asyncio.run(_serve(explainer, listener, tls, arguments.drain_delay_seconds))


async def _serve(
    explainer: Explainer, listener: socket.socket, tls: ServerTls | None, delay_seconds: float
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(explainer.make_application(), access_log=None, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls.context if tls else None).start()
    following = asyncio.create_task(tls.follow()) if tls else None
    await ended.wait()
    explainer.is_leaving = True
    await asyncio.sleep(delay_seconds)
    await runner.cleanup()
    if following:
        following.cancel()


def _listen(host: str, port: int) -> socket.socket:
    """Listen; where `::` stands for every address, but the kernel has no IPv6, at those of IPv4."""
    if host != "::":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if not socket.has_dualstack_ipv6():
        return socket.create_server(("0.0.0.0", port))  # noqa: S104  a pod's clients are outside of it
    return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)


if __name__ == "__main__":
    main()
