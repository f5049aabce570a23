"""Fashion-MNIST: 70,000 grey pictures of clothing, 28 x 28 pixels, in 10 classes; from a package of Debian.

Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747; MIT licence. The digests of its files are pinned.
"""

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "dataset-fashion-mnist"
CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FILES = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
_INSIDE = Path("usr/share/datasets/fashion-mnist")


class DataError(Exception):
    """The package is not there, or another one."""


def get_files(folder: Path) -> Path:
    """Return where the files are; the package is downloaded into `folder` where it is not there yet.

    Raises:
        DataError: apt cannot download it, or its files are others.
    """
    files = folder / _INSIDE
    if not all((files / name).exists() for name in FILES):
        package = _download(folder)
        _run(("dpkg-deb", "-x", package.name, "."), folder)
    for name, digest in FILES.items():
        found = hashlib.sha256((files / name).read_bytes()).hexdigest()
        if found != digest:
            raise DataError(f"{files / name} has sha256 {found}, expected {digest}: remove it")
    return files


def _download(folder: Path) -> Path:
    """Download the package with the sources of this machine's apt, and lists of our own where it has none."""
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    own = ("-o", f"Dir::State::Lists={(folder / 'lists').resolve()}")
    try:
        _run(("apt-get", "download", PACKAGE), folder)
    except DataError:
        _run(("apt-get", *own, "update"), folder)
        _run(("apt-get", *own, "download", PACKAGE), folder)
    return max(folder.glob(f"{PACKAGE}_*.deb"))


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DataError(f"{command[0]} is not there: this example reads a package of Debian") from None
    if done.returncode:
        raise DataError(f"{' '.join(command)}: {done.stderr.strip()}")
