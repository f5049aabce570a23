"""The image of the container that holds a pod's namespaces: one static program that waits."""

import subprocess
import tarfile
import tempfile
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.ociarchive import write_oci_archive
from hack.cluster.packages import COMPILER_PROGRAMS, ensure_packages
from hack.cluster.paths import cache_directory, file_lock

PAUSE_IMAGE = "localhost/pause:1"

# As the first process of a pod it must reap orphans and end on SIGTERM.
SOURCE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
"""


def pause_archive() -> Path:
    """Return the OCI archive of the pause image, compiled once into the cache."""
    archive = cache_directory() / "images" / "pause-1.oci.tar"
    if not archive.exists():
        ensure_packages(COMPILER_PROGRAMS)
        with file_lock(archive.with_suffix(".lock"), "another run is building the pause image; waiting"):
            if not archive.exists():
                _build(archive)
    return archive


def _build(archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".pause-") as name:
        directory = Path(name)
        (directory / "pause.c").write_text(SOURCE)
        result = subprocess.run(
            ["gcc", "-Os", "-static", "-o", "pause", "pause.c"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ClusterError(f"compiling the pause program failed: {result.stderr.strip()}")
        with tarfile.open(directory / "layer.tar", "w") as tar:
            tar.add(directory / "pause", "pause")
        # Number 65535: the pause container needs no rights and no user.
        config = {"Entrypoint": ["/pause"], "User": "65535:65535"}
        write_oci_archive(directory / "image.tar", PAUSE_IMAGE, directory / "layer.tar", config)
        (directory / "image.tar").rename(archive)
