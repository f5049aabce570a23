"""What all workers tell as one: asked for when somebody wants to know, never lost when a worker dies."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelservice_runtime.models.load import Load, parse_load, past_load, sum_loads
from modelservice_runtime.models.snapshots import Snapshots, merge_snapshots, parse_snapshots, past_snapshots
from modelservice_runtime.workers.link import Link
from modelservice_runtime.workers.messages import LOAD, LOOK, MODELS, REPORT

# A worker whose event loop is busy for longer is shown as it was when it was last asked.
_PATIENCE_SECONDS = 1.0

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Topic(Generic[Told]):
    """Something to ask: the keys of a question's number and of its answer, and what is made of answers.

    `past` is what remains of the answer of a worker that has gone.
    """

    question: str
    answer: str
    parse: Callable[[Any], Told]
    merge: Callable[[Iterable[Told]], Told]
    past: Callable[[Told], Told]


MODELS_TOPIC: Topic[Snapshots] = Topic(REPORT, MODELS, parse_snapshots, merge_snapshots, past_snapshots)
LOAD_TOPIC: Topic[Load] = Topic(LOOK, LOAD, parse_load, sum_loads, past_load)


@dataclass(slots=True)
class _Question(Generic[Told]):
    """One question on its way."""

    done: Callable[[Told], None]
    missing: set[Link]
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class WorkerAnswers(Generic[Told]):
    """See `SnapshotSource` and `LoadSource`. What a dead worker told last stays in the sums."""

    loop: asyncio.AbstractEventLoop
    topic: Topic[Told]
    _latest: dict[Link, Told] = field(default_factory=dict)
    _departed: list[Told] = field(default_factory=list)
    _questions: dict[int, _Question[Told]] = field(default_factory=dict)
    _last_number: int = 0

    def add(self, worker: Link) -> None:
        """Ask this worker too, from now on."""
        self._latest[worker] = self.topic.merge([])

    def remove(self, worker: Link) -> None:
        """The worker has gone."""
        if worker in self._latest:
            past = self.topic.past(self._latest.pop(worker))
            self._departed = [self.topic.merge([*self._departed, past])]
        for number in list(self._questions):
            self._answered(number, worker)

    def receive(self, worker: Link, message: dict[str, Any]) -> None:
        """A message with an answer to this topic's question, or without."""
        if self.topic.answer in message and worker in self._latest:
            self._latest[worker] = self.topic.parse(message[self.topic.answer])
            self._answered(message[self.topic.question], worker)

    def gather(self, done: Callable[[Told], None]) -> None:
        """Ask every worker; `done` gets what they tell together."""
        self._last_number = number = self._last_number + 1
        question = self._questions[number] = _Question(done, set(self._latest))
        question.timer = self.loop.call_later(_PATIENCE_SECONDS, self._finish, number)
        for worker in self._latest:
            worker.send({self.topic.question: number})
        if not question.missing:
            self._finish(number)

    def _answered(self, number: int, worker: Link) -> None:
        question = self._questions.get(number)
        if question is not None:
            question.missing.discard(worker)
            if not question.missing:
                self._finish(number)

    def _finish(self, number: int) -> None:
        question = self._questions.pop(number)
        if question.timer is not None:
            question.timer.cancel()
        question.done(self.topic.merge([*self._departed, *self._latest.values()]))
