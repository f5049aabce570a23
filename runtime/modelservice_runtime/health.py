"""Liveness and readiness of the server as a whole; what they mean is decided here and nowhere else."""

from modelservice_runtime.repository import ModelTable


class Health:
    """Live: the process answers. Ready: every model is loaded and warm, and the server is not leaving."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._draining = False

    def start_draining(self) -> None:
        """Report not ready from now on; requests are still answered."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """True once the server is leaving; answers then close their connections."""
        return self._draining

    @property
    def ready(self) -> bool:
        """True when new traffic is welcome."""
        return not self._draining and self._table.all_ready
