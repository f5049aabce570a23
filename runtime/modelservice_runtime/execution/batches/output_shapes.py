"""The shapes that outputs have behind their first dimension, as runs of single requests showed them.

Where a batch has others, or two single requests of equal shapes had different ones, the shape depends on
values, and so a request's answer would depend on who shares its run. Safe on any thread.
"""

from collections.abc import Sequence
from typing import TypeAlias

from modelservice_runtime.execution.batches.batch_queue import BatchKey
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import Array

_Tails: TypeAlias = tuple[tuple[int, ...], ...]

# Kinds of requests to remember; beyond that all are learned anew.
_MAX_KEYS = 512


class OutputShapes:
    """See the module's text; `key` says what is equal for requests that may share a run.

    `are_declared`: the model itself says what all of them are, and single runs need not be looked at.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._known: dict[BatchKey, _Tails] = {}
        self._vary = False
        # What the model declares needs no run; None where it leaves a dimension open.
        self._declared = {
            tensor.name: None if tensor.shape is None or -1 in tensor.shape[1:] else tensor.shape[1:]
            for tensor in spec.outputs
        }
        self.are_declared = None not in self._declared.values()

    def knows(self, key: BatchKey, output_names: Sequence[str]) -> bool:
        """Whether it is known what a request of this kind gives alone."""
        if key in self._known:
            return True
        tails = [self._declared[name] for name in output_names]
        declared = tuple([tail for tail in tails if tail is not None])
        if len(declared) < len(tails):
            return False
        self._remember(key, declared)
        return True

    def learn(self, key: BatchKey, outputs: Sequence[Array]) -> bool:
        """Remember what a request that ran alone gave; False where another of its kind gave other shapes."""
        tails = _tails(outputs)
        known = self._known.get(key)
        if known is None:
            self._remember(key, tails)
        self._vary = self._vary or known not in (None, tails)
        return not self._vary

    def fit(self, key: BatchKey, outputs: Sequence[Array]) -> bool:
        """Whether a batch gave what single requests of its kind did, and those always the same."""
        return not self._vary and self._known.get(key) in (None, _tails(outputs))

    def _remember(self, key: BatchKey, tails: _Tails) -> None:
        if len(self._known) >= _MAX_KEYS:
            self._known.clear()
        self._known[key] = tails


def _tails(outputs: Sequence[Array]) -> _Tails:
    return tuple([output.shape[1:] for output in outputs])
