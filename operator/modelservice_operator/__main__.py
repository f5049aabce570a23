"""`python -m modelservice_operator`: the operator's process."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from modelservice_operator.app import run_operator
from modelservice_operator.errors import OperatorError
from modelservice_operator.logs import setup_logging
from modelservice_operator.settings import parse_settings


def main() -> int:
    """Run until stopped; 0 after a signal, 1 after a fault (the kubelet starts a new process)."""
    settings = parse_settings(sys.argv[1:], os.environ)
    setup_logging(settings.log_level)
    try:
        return asyncio.run(run_operator(settings))
    except OperatorError as error:
        logging.getLogger(__name__).critical("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
