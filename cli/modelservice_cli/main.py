"""Where the commands `modelservice` and `kubectl msvc` start."""

import io
import sys
from collections.abc import Sequence

from modelservice_runtime.machine.collector import collector_paused
from modelservice_runtime.machine.early_end import end_on_sigterm


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 for a failure, 2 for wrong usage."""
    end_on_sigterm()
    _print_what_can_be_printed()
    # Imported here: it takes its time, in which a container's first process may be asked to end.
    with collector_paused():
        from modelservice_cli.commands import run

    return run(sys.argv[1:] if argv is None else argv)


def plugin(argv: Sequence[str] | None = None) -> int:
    """Run `kubectl msvc`: kubectl starts the program `kubectl-msvc` with what follows."""
    _print_what_can_be_printed()
    from modelservice_cli.commands import run_plugin

    return run_plugin(sys.argv[1:] if argv is None else argv)


def _print_what_can_be_printed() -> None:
    """In a locale without some letters these are told by their numbers, as Python does in errors."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
