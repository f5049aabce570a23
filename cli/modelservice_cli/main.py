"""Where the commands `modelservice` and `kubectl msvc` start."""

import sys
from collections.abc import Sequence

from modelservice_runtime.machine.collector import collector_paused
from modelservice_runtime.machine.early_end import end_on_sigterm


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 for a failure, 2 for wrong usage."""
    end_on_sigterm()
    # Imported here: it takes its time, in which a container's first process may be asked to end.
    with collector_paused():
        from modelservice_cli.commands import run

    return run(sys.argv[1:] if argv is None else argv)


def plugin(argv: Sequence[str] | None = None) -> int:
    """Run `kubectl msvc`: kubectl starts the program `kubectl-msvc` with what follows."""
    from modelservice_cli.commands import run_plugin

    return run_plugin(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
