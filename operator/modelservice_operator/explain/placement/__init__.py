"""Where a pod could run at all: what nodes lack, and what would fit. It knows no other pods. Pure."""

from modelservice_operator.explain.placement.placement import Placement, explain_placement

__all__ = ["Placement", "explain_placement"]
