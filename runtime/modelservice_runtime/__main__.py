"""``python -m modelservice_runtime serve|fetch|info``: the container's entry point."""

import sys
from collections.abc import Sequence

from modelservice_runtime.machine.early_end import end_on_sigterm

_USAGE = """usage: python -m modelservice_runtime {serve,fetch,info} ...

serve  serve ONNX models
fetch  fetch a model's files
info   show what this machine offers, and what a model asks for"""


def main(argv: Sequence[str]) -> int:
    """Run a subcommand; returns the exit code. Each imports only what it needs."""
    end_on_sigterm()
    command, rest = (argv[0], list(argv[1:])) if argv else ("", [])
    if command == "serve":
        from modelservice_runtime.serving import serve

        return serve.run(rest)
    if command == "fetch":
        from modelservice_runtime.fetch import main as fetch
        from modelservice_runtime.machine.logs import describe_loss
        from modelservice_runtime.machine.stderr import unblock_stderr

        unblock_stderr(describe_loss)
        return fetch.run(rest)
    if command == "info":
        from modelservice_runtime.serving import info

        return info.run(rest)
    if command == "worker":  # started by serve itself
        from modelservice_runtime.serving.worker_process import run_worker

        return run_worker(int(rest[0]))
    if command == "trial":  # likewise
        from modelservice_runtime.models.trial_process import run_trial
        from modelservice_runtime.protocols.oip.samples import decode_sample

        run_trial(decode_sample)
    asked = command in ("-h", "--help")
    print(_USAGE, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
