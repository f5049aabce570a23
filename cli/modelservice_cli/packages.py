"""Whether the packages that a command needs are installed."""

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


def check_runtime_packages() -> None:
    """Raise CommandError where a package of the runtime is missing."""
    missing = [name for name in _RUNTIME_PACKAGES if _is_missing(name)]
    if missing:
        raise CommandError(
            f"the runtime's packages are not installed ({', '.join(missing)}); "
            "install them with: pip install 'modelservice[runtime]'"
        )


def _is_missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:  # not even the package around it
        return True
