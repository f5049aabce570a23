"""The audit log of one server: what it puts around the entrance of every protocol."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelservice_runtime.audit.asking import AskedTable
from modelservice_runtime.audit.grpc import AuditedGrpcAdmission, audit_services
from modelservice_runtime.audit.http import AuditedApplication, AuditedHttpAdmission
from modelservice_runtime.audit.log import AuditLog
from modelservice_runtime.auth.guard import Guard, GuardedApplication
from modelservice_runtime.auth.loading import LoadedGuard
from modelservice_runtime.settings.security import AuditMode
from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication

# Whoever reads the log reads it within this, or not at all.
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class AuditedEntrance:
    """As `LoadedGuard`, with a log; `of_all` writes a line also for who was let in."""

    guard: Guard
    log: AuditLog
    table: AskedTable
    of_all: bool

    def protect(self, application: HttpApplication) -> HttpApplication:
        """Put guard and log in front of an HTTP front end."""
        if self.of_all:
            return AuditedApplication(application, self.http_admission, self.log, self.table)
        return GuardedApplication(application, self.http_admission)

    @property
    def http_admission(self) -> AuditedHttpAdmission:
        """The guard for HTTP requests of which only the head has come."""
        return AuditedHttpAdmission(self.guard, self.log)

    @property
    def admission(self) -> AuditedGrpcAdmission:
        """The guard for gRPC calls."""
        return AuditedGrpcAdmission(self.guard, self.log, of_all=self.of_all)

    def watch(self, services: Mapping[str, Service]) -> Mapping[str, Service]:
        """Put the log around gRPC services."""
        return audit_services(services, self.log, self.table) if self.of_all else services


class Audit:
    """The log, and the table of models that tells it which of them requests mean."""

    def __init__(self, mode: AuditMode) -> None:
        self.table = AskedTable()
        self._mode = mode
        self._log = AuditLog()

    def around(self, access: LoadedGuard) -> AuditedEntrance:
        """What stands in front of the protocols; where there is no guard everybody is let in."""
        guard = access.guard or Guard(None, needs_client_certificate=False)
        return AuditedEntrance(guard, self._log, self.table, self._mode is AuditMode.ALL)

    def close(self) -> None:
        """Write what is left, for a bounded time."""
        self._log.close(_CLOSE_SECONDS)
