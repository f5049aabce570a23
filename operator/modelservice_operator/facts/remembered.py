"""Pure steps that are not repeated for input that was seen a moment ago.

Every reconciliation decides anew from all that is observed, and most of that is what it was the last time.
The input is compared by content, so nobody has to promise that an object stays as it is. The result is
shared, so it must be one that nobody changes.
"""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Step = TypeVar("Step", bound="Callable[..., object]")


def remembered(most: int) -> Callable[[Step], Step]:
    """Remember what a step made of the last `most` objects, each of them JSON; further arguments count too.

    What is raised is not remembered.
    """

    def remember(step: Step) -> Step:
        @lru_cache(maxsize=most)
        def known(encoded: bytes, *arguments: object) -> object:
            return step(msgspec.json.decode(encoded), *arguments)

        @wraps(step)
        def recall(obj: Mapping[str, Any], *arguments: object) -> object:
            return known(msgspec.json.encode(obj), *arguments)

        return recall  # type: ignore[return-value]

    return remember
