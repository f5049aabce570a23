"""What `make test` says about a suite is what pytest found."""

from pathlib import Path

import pytest
from hack.suites import REPORTS, Suite


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
