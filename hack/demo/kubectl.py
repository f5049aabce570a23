"""kubectl, as a user would call it."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.demo.errors import DemoError


@dataclass(frozen=True)
class Kubectl:
    """The kubectl of the project's virtual environment, bound to one cluster."""

    kubeconfig: Path | None = None
    context: str | None = None

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        command = [str(Path(sys.executable).with_name("kubectl"))]
        if self.kubeconfig is not None:
            command += ["--kubeconfig", str(self.kubeconfig)]
        if self.context is not None:
            command += ["--context", self.context]
        return [*command, *arguments]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run and return standard output.

        Raises:
            DemoError: kubectl failed; the message is kubectl's own.

        """
        result = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            shown = " ".join(arguments)
            raise DemoError(f"kubectl {shown} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def explain(self, *commands: Sequence[str]) -> str:
        """Return what each command prints, for an error message; failures are part of the text."""
        parts = []
        for arguments in commands:
            result = subprocess.run(
                self.command(*arguments), capture_output=True, text=True, timeout=30, check=False
            )
            parts.append(f"$ kubectl {' '.join(arguments)}\n{(result.stdout + result.stderr).rstrip()}")
        return "\n".join(parts)
