"""Leader election with a Lease: both replicas keep a warm cache, one of them writes.

The rules are those of client-go's leaderelection. Expiry is judged by when this process last saw the Lease
change, on the monotonic clock: wall clocks that differ or jump do not matter. A leader that was frozen
(SIGSTOP, a stalled node) fails `require` before its next write, because that looks at the clock itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelservice_operator import common_metrics
from modelservice_operator.facts.errors import ApiError, ConflictError, LeadershipLostError, NotFoundError
from modelservice_operator.facts.kinds import LEASES

if TYPE_CHECKING:
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.settings import LeaseSettings

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 2.0
"""A slow call must not eat the renewal deadline: several tries have to fit into it."""


class LeaderElector:
    """Takes the Lease, keeps it, and says whether it still counts."""

    def __init__(self, api: ApiClient, settings: LeaseSettings) -> None:
        self._api = api
        self._settings = settings
        self._lease: dict[str, Any] | None = None
        """The Lease as last seen; None where there is none."""
        self._seen_record: tuple[object, ...] = ()
        self._seen_at = 0.0
        self._renewed_at = -math.inf
        self.acquired = asyncio.Event()

    @property
    def is_leading(self) -> bool:
        """Whether this process may write now."""
        age = time.monotonic() - self._renewed_at
        return self.acquired.is_set() and age < self._settings.renew_deadline_seconds

    def require(self) -> None:
        """Raise LeadershipLostError unless this process may write now."""
        if not self.is_leading:
            raise LeadershipLostError("the Lease was not renewed in time")

    async def run(self) -> None:
        """Wait for the Lease, then renew it; raises LeadershipLostError when it is lost."""
        while not await self._try_to_hold():  # noqa: ASYNC110  the Lease is polled, nothing here can wake us
            await asyncio.sleep(self._settings.retry_seconds)
        log.info("leading", extra={"lease": self._settings.name, "identity": self._settings.identity})
        self.acquired.set()
        common_metrics.LEADER.set(1)
        try:
            await self._keep()
        finally:
            common_metrics.LEADER.set(0)

    async def release(self) -> None:
        """Give the Lease up, so that the standby need not wait for its expiry; best effort."""
        if not self.is_leading or self._lease is None:
            return
        self._renewed_at = -math.inf
        spec = self._spec(holder="", transitions=self._lease["spec"].get("leaseTransitions", 0))
        spec["leaseDurationSeconds"] = 1
        try:
            await self._api.replace(LEASES, {**self._lease, "spec": spec}, CALL_TIMEOUT_SECONDS)
        except ApiError as error:
            log.warning("the Lease was not released: %s", error.message)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.retry_seconds)
            held = await self._try_to_hold()
            if self._is_somebody_elses():
                raise LeadershipLostError("another replica holds the Lease")
            if not held and not self.is_leading:
                raise LeadershipLostError("the Lease could not be renewed in time")

    async def _try_to_hold(self) -> bool:
        """One attempt to take or renew the Lease. Nothing but a confirmed write counts."""
        started = time.monotonic()
        try:
            await self._observe()
            if self._lease is not None and self._is_somebody_elses() and not self._is_expired():
                return False
            self._lease = await self._write()
        except ConflictError:
            return False
        except ApiError as error:
            log.warning("cannot take or renew the Lease: %s", error.message)
            return False
        self._remember()
        # From before the call: the server may have counted from any moment since.
        self._renewed_at = started
        return True

    async def _observe(self) -> None:
        try:
            self._lease = await self._api.get(
                LEASES, self._settings.namespace, self._settings.name, CALL_TIMEOUT_SECONDS
            )
        except NotFoundError:
            self._lease = None
        self._remember()

    def _remember(self) -> None:
        """Note when the Lease last changed in our eyes."""
        spec = (self._lease or {}).get("spec") or {}
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen_record:
            self._seen_record = record
            self._seen_at = time.monotonic()

    def _holder(self) -> str:
        spec = (self._lease or {}).get("spec") or {}
        return spec.get("holderIdentity") or ""

    def _is_somebody_elses(self) -> bool:
        return self._holder() not in ("", self._settings.identity)

    def _is_expired(self) -> bool:
        return time.monotonic() - self._seen_at > self._settings.duration_seconds

    async def _write(self) -> dict[str, Any]:
        """Create the Lease, or put it back with our name; its resourceVersion guards against a race."""
        if self._lease is None:
            body = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"namespace": self._settings.namespace, "name": self._settings.name},
                "spec": self._spec(holder=self._settings.identity, transitions=0),
            }
            return await self._api.create(LEASES, self._settings.namespace, body, CALL_TIMEOUT_SECONDS)
        old = self._lease.get("spec") or {}
        is_ours = old.get("holderIdentity") == self._settings.identity
        transitions = (old.get("leaseTransitions") or 0) + (not is_ours)
        spec = self._spec(holder=self._settings.identity, transitions=transitions)
        if is_ours and old.get("acquireTime"):
            spec["acquireTime"] = old["acquireTime"]
        return await self._api.replace(LEASES, {**self._lease, "spec": spec}, CALL_TIMEOUT_SECONDS)

    def _spec(self, *, holder: str, transitions: int) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, math.ceil(self._settings.duration_seconds)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
