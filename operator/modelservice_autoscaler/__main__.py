"""`python -m modelservice_autoscaler`: the autoscaler's process."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run until stopped; 0 after a signal, 1 after a fault (the kubelet starts a new process)."""
    # Imported here: it takes a second, in which the process may be asked to end.
    from modelservice_autoscaler.process.app import run

    return run(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
