"""Whether the packages that a command needs are installed."""

from collections.abc import Sequence
from importlib.util import find_spec

from modelservice_cli.errors import CommandError

_RUNTIME_PACKAGES = (
    "google.protobuf",
    "httptools",
    "numpy",
    "onnxruntime",
    "orjson",
    "prometheus_client",
    "simdjson",
    "uvloop",
)
_ENCRYPTION_PACKAGES = ("aiohttp", "obstore", "pyrage")
_CLUSTER_PACKAGES = ("cronsim", "kubernetes", "msgspec", "rich")


def check_runtime_packages() -> None:
    """Raise CommandError where a package of the runtime is missing."""
    _check("the runtime", "runtime", _RUNTIME_PACKAGES)


def check_encryption_packages() -> None:
    """Raise CommandError where a package is missing that reads, checks and encrypts models."""
    _check("encryption", "runtime", _ENCRYPTION_PACKAGES)


def check_pipeline_packages(packages: Sequence[str]) -> None:
    """Raise CommandError where a package is missing that a step of a model's way imports."""
    _check("the pipeline", "pipeline", packages)


def check_cluster_packages() -> None:
    """Raise CommandError where a package is missing that commands on a cluster need."""
    _check("commands on a cluster", "cli", _CLUSTER_PACKAGES)


def check_completion_packages() -> None:
    """Raise CommandError where the package is missing that writes completions."""
    _check("completion", "cli", ("shtab",))


def _check(what: str, extra: str, packages: Sequence[str]) -> None:
    missing = [name for name in packages if _is_missing(name)]
    if missing:
        raise CommandError(
            f"the packages of {what} are not installed ({', '.join(missing)}); "
            f"install them with: pip install 'modelservice[{extra}]'"
        )


def _is_missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:  # not even the package around it
        return True
