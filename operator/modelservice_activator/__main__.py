"""`python -m modelservice_activator`: the activator's process."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run until stopped; 0 after a signal, 1 after a fault (the kubelet starts a new process)."""
    _end_on_sigterm()
    # Imported here: it takes a second or two, in which the process may be asked to end.
    from modelservice_activator.process.app import run

    return run(sys.argv[1:], os.environ)


def _end_on_sigterm() -> None:
    """End at once on SIGTERM, until the event loop takes the signal over.

    The kernel drops it for a container's first process as long as that has no handler (pid_namespaces(7)).
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(128 + signal.SIGTERM))


if __name__ == "__main__":
    sys.exit(main())
