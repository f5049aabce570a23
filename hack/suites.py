"""Run every test, two suites at a time, with one summary (`python -m hack.suites`).

Whoever has finished a suite takes the next, so that no core rests before the last one. The operator's
integration tests, which mostly wait, are the longest and stand in front; beside them run those that need a
core. Then come the tests on a real node, which wait for its containers half of the time and compare how fast
models answer; beside them run what is short.

Tests that failed while others had the cores run once more, alone. Those that pass then are *unsteady*: the
summary names them, and each is a fault to mend, of the test or of the code. More than a few fail the run.
"""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

REPORTS = Path("build/tests")
ELSEWHERE = tuple(
    f"tests/integration/operator/test_{name}.py"
    for name in ("gitops", "namespaces", "routes", "scaling_engines", "sleep_killed", "upgrade")
)
"""Tests of the operator that may run beside the others of it.

All that give addresses to pods stay in one suite: they are the same addresses of this machine.
"""
PROGRAMS = (
    *("tests/e2e/test_clients.py", "tests/e2e/test_go_client.py", "tests/e2e/test_serve_command.py"),
    *("tests/e2e/texts", "tests/e2e/spam/test_spam_training.py"),
)
"""End-to-end tests without a cluster."""
AT_ONCE = 2
"""Suites that run side by side: CI has two cores."""
MOST_UNSTEADY = 3
"""Tests that may fail at first and pass alone; with more of them something is wrong."""
_COUNTS = ("failures", "errors", "skipped", "tests")


@dataclass
class Suite:
    """Some folders of tests and the pytest that runs them; a quiet one shows its output when it has ended."""

    name: str
    arguments: tuple[str, ...]
    quiet: bool = False

    @property
    def report(self) -> Path:
        """JUnit XML, the format that CI systems read."""
        return REPORTS / f"{self.name}.xml"

    @property
    def log(self) -> Path:
        """The output of a quiet suite."""
        return REPORTS / f"{self.name}.log"

    @property
    def cache(self) -> Path:
        """Where pytest notes which tests failed."""
        return REPORTS / f"{self.name}.cache"

    def start(self, *options: str) -> None:
        """Start pytest."""
        self.report.unlink(missing_ok=True)
        options = (f"--junit-xml={self.report}", "-o", f"cache_dir={self.cache.resolve()}", *options)
        command = [sys.executable, "-m", "pytest", *self.arguments, *options]
        if self.quiet:
            with self.log.open("w") as log:
                self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        else:
            self._process = subprocess.Popen(command)

    def wait(self) -> None:
        """Wait for pytest; show what a quiet suite printed."""
        self._process.wait()
        if self.quiet:
            print(self.log.read_text(), flush=True)

    @property
    def passed(self) -> bool:
        """Whether pytest ran to its end and nothing failed, or failed only beside others."""
        return self._process.returncode == 0

    @property
    def failed_tests(self) -> tuple[str, ...]:
        """Names of the tests that failed; none where pytest itself did not come to its end."""
        if self._process.returncode != pytest.ExitCode.TESTS_FAILED or not self.report.exists():
            return ()
        cases = ElementTree.parse(self.report).getroot().iter("testcase")
        failed = (case for case in cases if {child.tag for child in case} & {"failure", "error"})
        return tuple(sorted({f"{case.get('classname')}::{case.get('name')}" for case in failed}))

    def describe(self) -> str:
        """One row of the summary."""
        if not self.report.exists():
            return f"{self.name:<12} ended with exit code {self._process.returncode}, without a report"
        (found,) = ElementTree.parse(self.report).getroot().iter("testsuite")
        failures, errors, skipped, tests = (int(found.get(count, 0)) for count in _COUNTS)
        passed = tests - failures - errors - skipped
        verdict = f"{passed:5} passed {failures + errors:3} failed {skipped:3} skipped"
        return f"{self.name:<12} {verdict} {float(found.get('time', 0)):6.0f} s"


def run(suite: Suite) -> None:
    """Run one suite to its end."""
    shown = f": its output comes at its end, until then in {suite.log}" if suite.quiet else ""
    print(f"\n==> {suite.name}{shown}", flush=True)
    suite.start()
    suite.wait()


def run_in_turn(suites: Sequence[Suite], at_once: int) -> None:
    """Run the suites in their order, so many side by side; where one ends, the next begins."""
    with ThreadPoolExecutor(at_once) as lanes:
        list(lanes.map(run, suites))


def look_again(suites: Sequence[Suite]) -> tuple[str, ...]:
    """Run alone what failed beside others, where it is little; returns the names of the unsteady tests."""
    failed = [suite for suite in suites if suite.failed_tests]
    at_first = tuple(name for suite in failed for name in suite.failed_tests)
    if len(at_first) > MOST_UNSTEADY:
        return ()
    for suite in failed:
        print(f"\n==> alone, what failed of {suite.name}", flush=True)
        suite.start("--last-failed")
        suite.wait()
    still = {name for suite in failed for name in suite.failed_tests}
    return tuple(name for name in at_first if name not in still)


def main() -> int:
    """Run all; 1 where anything failed."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    apart = ("tests/integration/operator", "tests/integration/runtime")
    rest = ("tests/integration", *(f"--ignore={folder}" for folder in apart))
    suites = (
        Suite("operator", (apart[0], *(f"--ignore={file}" for file in ELSEWHERE))),
        Suite("unit", ("tests/unit",), quiet=True),
        Suite("integration", rest, quiet=True),
        Suite("runtime", apart[1:], quiet=True),
        Suite("e2e", ("tests/e2e", *(f"--ignore={path}" for path in PROGRAMS)), quiet=True),
        Suite("beside", ELSEWHERE, quiet=True),
        Suite("programs", PROGRAMS, quiet=True),
    )
    run_in_turn(suites, AT_ONCE)
    summary = "\n".join(suite.describe() for suite in suites)
    unsteady = look_again(suites)
    print(f"\n{summary}", *(f"unsteady: {name}" for name in unsteady), sep="\n", flush=True)
    return 0 if all(suite.passed for suite in suites) else 1


if __name__ == "__main__":
    sys.exit(main())
