"""Runs buildah on a storage of our own in the cache; its mounts and run-time files end with each call."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hack.cluster.commands import last_lines, run_with_progress
from hack.cluster.errors import ClusterError
from hack.cluster.packages import BUILD_PROGRAMS, ensure_packages, search_path
from hack.cluster.paths import cache_directory, file_lock
from hack.cluster.preflight import overlay_works
from hack.cluster.progress import Progress

# `[2/2] STEP 3/7: ...` in a build of several stages, `STEP 3/7: ...` in a build of one.
_STEP = re.compile(r"(?:\[(\d+)/(\d+)\] )?STEP (\d+)/(\d+)")


class Buildah:
    """buildah with the storage below the cache; hold one object only while its lock is needed."""

    def __init__(self, storage: Path, run_directory: Path, driver: str) -> None:
        self._prefix = [
            *("unshare", "--mount", "--propagation", "private", "buildah"),
            *("--root", str(storage), "--runroot", str(run_directory), "--storage-driver", driver),
        ]

    def run(self, *arguments: str) -> str:
        """Run one short command and return its output; raise ClusterError where it fails."""
        result = self._call(arguments)
        if result.returncode != 0:
            raise ClusterError(f"`buildah {arguments[0]}` failed:\n{last_lines(result.stderr)}")
        return result.stdout

    def has_image(self, name: str) -> bool:
        """Return whether the storage holds the image `name`."""
        return (
            self._call(["inspect", "--type", "image", "--format", "{{.FromImageID}}", name]).returncode == 0
        )

    def remove_leftovers(self) -> None:
        """Remove the working containers of builds that were killed."""
        self.run("rm", "--all")

    def build(self, arguments: Sequence[str], progress: Progress) -> None:
        """Run `buildah build`; the steps that it prints drive the progress."""
        run_with_progress([*self._prefix, "build", *arguments], progress, share_of_steps)

    def _call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._prefix, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": search_path()},
        )


@contextlib.contextmanager
def open_buildah() -> Iterator[Buildah]:
    """Yield buildah while holding its storage's lock; other builds on this machine wait."""
    if os.geteuid() != 0:
        raise ClusterError("building and pushing images needs root (mounts): run as root")
    ensure_packages(BUILD_PROGRAMS)
    directory = cache_directory() / "buildah"
    with file_lock(directory / ".lock", "another run is building an image; waiting for that"):
        driver = "overlay" if overlay_works(directory) else "vfs"
        # New for each call: counts of mounts in an old one would be wrong after a kill or a reboot.
        with tempfile.TemporaryDirectory(dir=directory, prefix="run-") as run_directory:
            yield Buildah(directory / driver, Path(run_directory), driver)


def share_of_steps(lines: Sequence[str]) -> float:
    """Return how far a build is (0 to 1), from its last line about a step; stages count alike."""
    for line in reversed(lines):
        if match := _STEP.match(line):
            stage, stages, step, steps = (int(number or 1) for number in match.groups())
            return (stage - 1 + (step - 1) / steps) / stages
    return 0.0
