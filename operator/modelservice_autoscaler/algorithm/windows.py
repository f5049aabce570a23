"""Over how long is averaged, and how old an answer may be. Every number has its reason here."""

from __future__ import annotations

STABLE_SECONDS = 30.0
"""Signals are averaged over this. See docs/autoscaling.md for what was measured: a load that swings within
30 s does not move the replicas at all, one that swings slowly is followed."""
BURST_SECONDS = 3.0
"""The window that sees a step: three answers at one a second, so that one slow answer alone means little."""
BURST_FACTOR = 2.0
"""From how many times the ready pods on a burst counts: as Knative's panic threshold of 200 %."""
BURST_HOLD_SECONDS = STABLE_SECONDS
"""After a burst nothing goes for so long: until then the stable window still holds what was before it."""
STALE_SECONDS = 5.0
"""From when on an answer counts as missing: at one look in 2 s two were left out, so it was no accident."""
SHORTEST_SECONDS = 0.5
"""Answers nearer to each other make no average."""
