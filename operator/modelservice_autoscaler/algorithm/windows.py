"""Over how long is averaged, and how old an answer may be. Every number has its reason here."""

from __future__ import annotations

STABLE_SECONDS = 15.0
"""Signals are averaged over this. Longer averages hide the peaks of a load that swings within them: under one
that swings every 30 s, 30 s of it say half of the peak, pods are lost and won again. What damps is the
stabilization window for scaling down, which keeps the highest number of the last 5 minutes."""
BURST_SECONDS = 2.0
"""The window that sees a step: at one look a second it holds nothing older 3 s after the step."""
BURST_FACTOR = 2.0
"""From how many times the ready pods on a burst counts: as Knative's panic threshold of 200 %."""
BURST_HOLD_SECONDS = 30.0
"""After a burst nothing goes for so long, even without a stabilization window: bursts come in rows."""
GAP_SECONDS = 30.0
"""Who did not look for so long has seen nothing: everything begins anew."""
STALE_SECONDS = 5.0
"""From when on an answer counts as missing: at one look in 2 s two were left out, so it was no accident."""
SHORTEST_SECONDS = 0.5
"""Answers nearer to each other make no average."""
STANDING_PART = 0.05
"""A queue that changes by less than this part of the requests that ended from look to look stands still."""
DRAIN_SECONDS = 30.0
"""In what time more pods shall work off what waits. Clients rarely wait longer."""
