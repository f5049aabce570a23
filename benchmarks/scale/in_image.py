"""The operator's process as its image has it.

The image leaves out the package `kubernetes`, which kopf imports where it is and which takes a third of the
time until a process on a developer's machine does anything. So it is hidden before anything is imported, and
the certificate of the benchmark's own cluster is read without it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import tempfile
from base64 import b64decode
from pathlib import Path

import yaml

from modelservice_operator.client.credentials import Credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.process.app import Operator
from modelservice_operator.process.collector import search_rarely
from modelservice_operator.process.logs import setup_logging
from modelservice_operator.settings import parse_settings

HIDDEN = "import sys; sys.modules['kubernetes'] = None"
COMMAND = (sys.executable, "-c", f"{HIDDEN}; from benchmarks.scale.in_image import main; main()")
"""Followed by the operator's flags."""


class Certificate:
    """No token: the certificate says who this is."""

    def authorization(self) -> str | None:
        """No header."""
        return None

    def refresh(self) -> None:
        """Nothing is kept."""


def read_credentials(kubeconfig: Path) -> Credentials:
    """The credentials of a kubeconfig that holds a certificate, as the benchmark's cluster writes it."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = b64decode(cluster["certificate-authority-data"]).decode("ascii")
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as file:  # OpenSSL takes files alone
        file.write(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    return Credentials(server=cluster["server"], ssl_context=context, tokens=Certificate())


async def run(flags: list[str]) -> int:
    """Run it until a signal; returns the exit code."""
    settings = parse_settings(flags, os.environ)
    setup_logging(settings.log_level)
    async with ApiClient(read_credentials(Path(settings.kubeconfig))) as api:
        return await Operator(settings, api).run()


def main() -> None:
    """The process that `COMMAND` starts."""
    search_rarely()
    sys.exit(asyncio.run(run(sys.argv[1:])))
