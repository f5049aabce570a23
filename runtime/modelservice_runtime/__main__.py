"""`python -m modelservice_runtime serve|fetch|info`: the container's entry point."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from modelservice_runtime.machine.collector import collector_paused
from modelservice_runtime.machine.early_end import end_on_sigterm

_Run: TypeAlias = Callable[[Sequence[str]], int]

_USAGE = """usage: python -m modelservice_runtime {serve,fetch,info} ...

serve  serve ONNX models
fetch  fetch a model's files
info   show what this machine offers, and what a model asks for"""


def main(argv: Sequence[str]) -> int:
    """Run a subcommand; returns the exit code."""
    end_on_sigterm()
    command, rest = (argv[0], list(argv[1:])) if argv else ("", [])
    with collector_paused():
        run = _import_command(command)
    if run is not None:
        return run(rest)
    asked = command in ("-h", "--help")
    print(_USAGE, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def _import_command(command: str) -> _Run | None:
    """Each imports only what it needs."""
    if command == "serve":
        from modelservice_runtime.serving import serve

        return serve.run
    if command == "fetch":
        from modelservice_runtime.fetch import main as fetch
        from modelservice_runtime.machine.logs import describe_loss
        from modelservice_runtime.machine.stderr import unblock_stderr

        unblock_stderr(describe_loss)
        return fetch.run
    if command == "info":
        from modelservice_runtime.serving import info

        return info.run
    if command == "worker":  # started by serve itself
        from modelservice_runtime.serving.worker_process import run_worker

        return lambda rest: run_worker(int(rest[0]))
    if command == "trial":  # likewise
        from modelservice_runtime.models.trial_process import run_trial
        from modelservice_runtime.protocols.oip.samples import decode_sample

        return lambda _rest: run_trial(decode_sample)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
