"""Runs side by side and, where memory is short, alone."""

import threading

import pytest

from modelservice_runtime.onnx.run_gate import RunGate

SECONDS = 20.0


class Runner:
    """A run on a thread of its own, which goes on when it is told."""

    def __init__(self, gate: RunGate) -> None:
        self._gate = gate
        self._go = threading.Event()
        self._go_alone = threading.Event()
        self.started = threading.Event()
        self.alone = threading.Event()
        self._end_alone = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._gate.run(may_wait=True):
            self.started.set()
            self._go.wait(SECONDS)
            if self._go_alone.is_set():
                with self._gate.alone(may_wait=True):
                    self.alone.set()
                    self._end_alone.wait(SECONDS)

    def ask_to_be_alone(self) -> None:
        self._go_alone.set()
        self._go.set()

    def end(self) -> None:
        self._go.set()
        self._end_alone.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture
def gate() -> RunGate:
    return RunGate()


def test_runs_go_side_by_side(gate: RunGate) -> None:
    runners = [Runner(gate) for _ in range(3)]
    assert all(runner.started.wait(SECONDS) for runner in runners)
    for runner in runners:
        runner.end()


def test_a_run_is_alone_when_all_others_have_ended(gate: RunGate) -> None:
    first, other = Runner(gate), Runner(gate)
    assert first.started.wait(SECONDS)
    assert other.started.wait(SECONDS)
    first.ask_to_be_alone()
    assert not first.alone.wait(0.05)
    other.end()
    assert first.alone.wait(SECONDS)
    first.end()


def test_runs_that_want_to_be_alone_take_turns(gate: RunGate) -> None:
    runners = [Runner(gate) for _ in range(2)]
    for runner in runners:
        assert runner.started.wait(SECONDS)
        runner.ask_to_be_alone()
    alone = next(runner for runner in runners * 3000 if runner.alone.wait(0.02))
    waiting = next(runner for runner in runners if runner is not alone)
    assert not waiting.alone.wait(0.05)
    alone.end()
    assert waiting.alone.wait(SECONDS)
    waiting.end()


def test_new_runs_wait_for_the_one_that_is_alone(gate: RunGate) -> None:
    first = Runner(gate)
    first.ask_to_be_alone()
    assert first.alone.wait(SECONDS)
    late = Runner(gate)
    assert not late.started.wait(0.05)
    with gate.run(may_wait=False), gate.alone(may_wait=False):
        pass  # as on the event loop, which waits for nobody
    first.end()
    assert late.started.wait(SECONDS)
    late.end()
