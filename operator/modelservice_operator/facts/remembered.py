"""Pure steps that are not repeated for input that was seen a moment ago.

Every reconciliation decides anew from all that is observed, and most of that is what it was the last time.
The input is compared by content, so nobody has to promise that an object stays as it is. The result is
shared, so it must be one that nobody changes.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Step = TypeVar("Step", bound="Callable[..., object]")


def remembered(most: int) -> Callable[[Step], Step]:
    """Remember what a step made of the last `most` objects, each of them JSON; further arguments count too.

    What is raised is not remembered. A step must keep no part of the object: others may change it.
    """

    def remember(step: Step) -> Step:
        # functools.lru_cache would have to read the object anew, which costs more than most steps.
        known: OrderedDict[tuple[object, ...], object] = OrderedDict()

        @wraps(step)
        def recall(obj: Mapping[str, Any], *arguments: object) -> object:
            key = (msgspec.json.encode(obj), *arguments)
            if key in known:
                known.move_to_end(key)
                return known[key]
            result = known[key] = step(obj, *arguments)
            if len(known) > most:
                known.popitem(last=False)
            return result

        return recall  # type: ignore[return-value]

    return remember
