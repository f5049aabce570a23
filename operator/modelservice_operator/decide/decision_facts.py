"""What every step of one decision reads. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.decide.autoscaling.beginning import find_autoscaler

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.api import NetworkPolicySpec
    from modelservice_operator.decide.resources.metadata import Owner
    from modelservice_operator.decide.revision import Revision
    from modelservice_operator.decide.rollout.history import History
    from modelservice_operator.facts.observed import AutoscalerChild, Observed


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What every step reads."""

    observed: Observed
    owner: Owner
    network_policy: NetworkPolicySpec
    status: Mapping[str, Any]
    history: History
    stable: str | None
    now: datetime

    @property
    def autoscaler(self) -> AutoscalerChild | None:
        """The autoscaler that exists, whether or not it is still wanted."""
        return find_autoscaler(self.observed.others, self.owner.uid)

    @property
    def accepted(self) -> Revision | None:
        """The revision that earlier reconciliations were heading for, else the stable one."""
        history = self.history
        return history.revision(self.status.get("targetRevision")) or history.revision(self.stable)
