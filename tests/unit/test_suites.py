"""What `make test` says about a suite is what pytest found, and what fails for good fails the run."""

from pathlib import Path

import pytest
from hack.suites import MOST_UNSTEADY, REPORTS, Suite, look_again, run_in_turn


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite that passes, one that fails, and one that cannot even be collected."""
    monkeypatch.chdir(tmp_path)
    REPORTS.mkdir(parents=True)
    for name, code in {
        "good": "def test_it(): pass",
        "bad": "import pytest\ndef test_it(): assert 0\ndef test_other(): pytest.skip()",
        "broken": "import no_such_module",
    }.items():
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / "test_one.py").write_text(code)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "passed", "words"),
    [
        ("good", True, "1 passed   0 failed   0 skipped"),
        ("bad", False, "0 passed   1 failed   1 skipped"),
        ("broken", False, "0 passed   1 failed   0 skipped"),
        ("missing", False, "0 passed   0 failed   0 skipped"),
    ],
)
def test_suite_tells_what_pytest_found(
    project: Path, capfd: pytest.CaptureFixture[str], name: str, passed: bool, words: str
) -> None:
    suite = Suite(name, (f"tests/{name}",), quiet=True)
    suite.start()
    suite.wait()
    assert suite.passed is passed
    assert words in suite.describe()
    assert "pytest" in capfd.readouterr().out or passed


WAITS_FOR_LAST = """
import pathlib, time

def test_it():
    while not pathlib.Path("last-ran").exists():
        time.sleep(0.1)
"""


def test_next_suite_begins_where_one_ends_while_another_still_runs(project: Path) -> None:
    (project / "tests" / "bad" / "test_one.py").write_text(WAITS_FOR_LAST)
    (project / "tests" / "broken" / "test_one.py").write_text("def test_it(): open('last-ran', 'x')")
    suites = [Suite(name, (f"tests/{name}",), quiet=True) for name in ("bad", "good", "broken")]
    run_in_turn(suites, at_once=2)
    assert all(suite.passed for suite in suites)


FAILS_ONCE = """
import pathlib, pytest

@pytest.mark.parametrize("number", range({tests}))
def test_it(number):
    first = pathlib.Path(f"{{number}}-ran")
    if not first.exists():
        first.touch()
        assert number is None
"""


def run_twice(folder: Path, code: str) -> tuple[bool, tuple[str, ...]]:
    (folder / "tests" / "bad" / "test_one.py").write_text(code)
    suite = Suite("bad", ("tests/bad",), quiet=True)
    suite.start()
    suite.wait()
    unsteady = look_again([suite])
    return suite.passed, unsteady


def test_test_that_passes_alone_is_named_and_fails_nothing(project: Path) -> None:
    assert run_twice(project, FAILS_ONCE.format(tests=1)) == (True, ("tests.bad.test_one::test_it[0]",))


@pytest.mark.parametrize(
    "code",
    [
        FAILS_ONCE.format(tests=1) + "\ndef test_other(): assert 0",
        FAILS_ONCE.format(tests=1) + "\nimport os\ndef test_other(): os._exit(1)",
        FAILS_ONCE.format(tests=MOST_UNSTEADY + 1),
        "import no_such_module",
    ],
    ids=["one fails again", "pytest does not come to its end", "too many", "cannot be collected"],
)
def test_run_fails_where_a_test_fails_again_or_many_fail_at_first(project: Path, code: str) -> None:
    passed, _ = run_twice(project, code)
    assert not passed
