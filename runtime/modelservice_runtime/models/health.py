"""Liveness and readiness of the server as a whole; what they mean is decided here and nowhere else."""

from modelservice_runtime.errors import StartupError
from modelservice_runtime.models.repository import ModelTable


class Health:
    """Live: the process answers and its accelerator works.

    Ready: live, every model is loaded and warm, and the server is not leaving.
    """

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._draining = False
        self._failure: StartupError | None = None
        self._waiting_for_others = False

    def wait_for_others(self) -> None:
        """Report not ready until `stop_waiting`: other processes serve the same port and are not ready."""
        self._waiting_for_others = True

    def stop_waiting(self) -> None:
        """The other processes are ready."""
        self._waiting_for_others = False

    def start_draining(self) -> None:
        """Report not ready from now on; requests are still answered."""
        self._draining = True

    def fail(self, failure: StartupError) -> None:
        """Report neither live nor ready from now on; the first failure is the one that is told."""
        self._failure = self._failure or failure
        self._draining = True

    @property
    def failure(self) -> StartupError | None:
        """Why the process has to be replaced, or None."""
        return self._failure

    @property
    def live(self) -> bool:
        """True while this process can still be of use."""
        return self._failure is None

    @property
    def draining(self) -> bool:
        """True once the server is leaving; answers then close their connections."""
        return self._draining

    @property
    def ready(self) -> bool:
        """True when new traffic is welcome."""
        return not self._draining and not self._waiting_for_others and self._table.all_ready
