"""Python's search for circular garbage, of which the operator makes little, over a cache that is none.

Measured with 5,000 services: a third of the CPU of reading them all.
"""

from __future__ import annotations

import gc

THRESHOLDS = (20_000, 20, 50)
"""Instead of 700 new containers: a page of a list has a hundred thousand, which live for a moment."""


def search_rarely() -> None:
    """Look for circular garbage less often."""
    gc.set_threshold(*THRESHOLDS)


def spare_what_lives() -> None:
    """Leave out of every later search what lives now; what of it is replaced goes all the same."""
    gc.collect()
    gc.freeze()
