"""Asks the user's own kubectl: which kinds the cluster serves, and to take objects."""

import subprocess

from modelservice_pipeline.errors import PipelineError

_SECONDS = 60


def serves(api_version: str) -> bool:
    """Return whether the cluster serves an API. Raises PipelineError where it cannot be asked."""
    done = _kubectl("get", "--raw", "/apis")
    if done.returncode:
        raise PipelineError(
            f"the cluster cannot be asked what it serves: {_said(done)}; say --as job or --as trainjob"
        )
    return f'"{api_version}"' in done.stdout


def apply(manifest: str) -> str:
    """Apply objects; returns what kubectl says. Raises PipelineError."""
    done = _kubectl("apply", "-f", "-", content=manifest)
    if done.returncode:
        raise PipelineError(f"kubectl apply failed: {_said(done)}")
    return done.stdout.strip()


def _kubectl(*arguments: str, content: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["kubectl", *arguments],
            input=content,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise PipelineError("kubectl is not on PATH: install it, or leave out --apply and say --as") from None
    except subprocess.TimeoutExpired:
        raise PipelineError(f"kubectl did not answer in {_SECONDS} s: is the cluster there?") from None


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
