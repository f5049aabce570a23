"""What a training run is, whoever runs it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelservice_pipeline.errors import PipelineError

LARGEST_SCRIPT_BYTES = 100_000
"""Linux takes no longer argument or variable than 128 KiB (MAX_ARG_STRLEN)."""
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class TrainSpec:
    """A script for torchrun on several nodes.

    Attributes:
        name: Of the run, and of its objects.
        image: With Python, torch and what the script imports.
        script: The script's text.
        arguments: Of the script.
        nodes: Machines, a pod on each.
        processes_per_node: Workers of each; as many as it has GPUs, or 1.
        namespace: Where it runs; None for that of the kubeconfig.
        claim: A PersistentVolumeClaim for checkpoints, which all nodes may write.
        checkpoints: Where that is mounted.
        requests: Resources of each node, such as cpu and memory; limits are the same.
        environment: Further variables.
        pull_secrets: Secrets with registry credentials.
        restarts: How often a node that failed is tried again.
        user: Whom its processes run as; 0 for whom the image names.
    """

    name: str
    image: str
    script: str
    arguments: tuple[str, ...] = ()
    nodes: int = 1
    processes_per_node: int = 1
    namespace: str | None = None
    claim: str | None = None
    checkpoints: str = "/mnt/checkpoints"
    requests: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    restarts: int = 3
    user: int = 65532

    def __post_init__(self) -> None:
        """Check what Kubernetes would refuse with a harder sentence. Raises PipelineError."""
        if _NAME.fullmatch(self.name) is None:
            raise PipelineError(
                f"{self.name!r} is no name for a run: expected up to 52 lower-case letters, digits and '-', "
                "beginning with a letter"
            )
        if not 1 <= self.nodes <= 1000 or not 1 <= self.processes_per_node <= 64:
            raise PipelineError("expected 1 to 1000 nodes, and 1 to 64 processes on each")
        if not 0 <= self.restarts <= 100:
            raise PipelineError("expected 0 to 100 restarts")
        for name in self.environment:
            if _VARIABLE.fullmatch(name) is None or name.startswith("PET_"):
                raise PipelineError(f"{name!r} is no name for a variable of yours")


def read_script(path: Path) -> str:
    """Return a script's text. Raises PipelineError where it is none, or too long to send along."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"cannot read {path}: {error}") from None
    if len(text.encode()) > LARGEST_SCRIPT_BYTES or "\0" in text:
        raise PipelineError(
            f"{path} has more than {LARGEST_SCRIPT_BYTES} bytes: put most of it into the image, and import it"
        )
    try:
        compile(text, str(path), "exec")
    except SyntaxError as error:
        raise PipelineError(f"{path}, line {error.lineno}: {error.msg}") from None
    return text
