"""Whether this process may read a model's files, and who may where it may not."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from modelservice_runtime.errors import AccessDeniedError, ModelRejectedError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"), (stat.S_ISDIR, "a directory"),
)  # fmt: skip


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to be read. Raises ModelRejectedError for anything else, and OSError.

    Whoever opens a pipe waits for somebody who writes to it, and a device need not end.
    """
    # A socket cannot be opened, and the system's word for that helps nobody.
    _check_regular(path, path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
    except ModelRejectedError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for test, kind in _KINDS if test(mode)), "no file")
        raise ModelRejectedError(
            f"{path.name[:200]!r} is {kind}, expected a regular file; put the model's own file there"
        )


def check_readable(path: Path) -> None:
    """Raise AccessDeniedError where a file cannot be read, or a directory not be listed.

    Raises ModelRejectedError for what is neither. That nothing is there is not judged here.
    """
    try:
        if path.is_dir():
            os.scandir(path).close()
        else:
            open_file(path).close()
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(path)) from error
    except OSError:
        return


def describe_denial(path: Path) -> str:
    """One sentence: who may not read `path`, whose it is, and what to do."""
    groups = sorted({os.getegid(), *os.getgroups()})
    who = f"user {os.geteuid()} (groups {', '.join(map(str, groups))}) may not read {str(path)!r}"
    culprit = _first_that_refuses(path)
    try:
        found = culprit.stat()
    except OSError:
        return f"{who}; make it readable for that user"
    whose = f"user {found.st_uid}, group {found.st_gid}, mode {stat.S_IMODE(found.st_mode):04o}"
    what = "" if culprit == path else f"{str(culprit)!r} "
    needed = stat.S_IRGRP | (stat.S_IXGRP if stat.S_ISDIR(found.st_mode) else 0)
    if found.st_gid not in groups and found.st_mode & needed == needed:
        return (
            f"{who}: {what}belongs to {whose}; add its group, for a claim by "
            f"spec.model.supplementalGroups: [{found.st_gid}], or make it readable for all"
        )
    return (
        f"{who}: {what}belongs to {whose}; make it readable for all, or for a group and name that in "
        "spec.model.supplementalGroups (spec.model.fsGroup has Kubernetes hand a claim's files to a group)"
    )


def _first_that_refuses(path: Path) -> Path:
    """The outermost directory that may not be entered, else the path itself."""
    for directory in reversed(path.parents):
        try:
            (directory / ".").stat()
            if not os.access(directory, os.X_OK, effective_ids=True):
                return directory
        except OSError:
            return directory
    return path
