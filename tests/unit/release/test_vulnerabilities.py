"""What a report of pip-audit means for a release."""

from typing import Any

import pytest
from hack.release import vulnerabilities
from hack.release.vulnerabilities import read_report


def make_report(**package: Any) -> dict[str, Any]:
    return {"dependencies": [{"name": "quiet", "version": "1", "vulns": []}, {"name": "spam", **package}]}


def make_vulnerability(*fixed_in: str) -> dict[str, Any]:
    return {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": [*fixed_in], "description": "bad"}


@pytest.mark.parametrize(
    ("package", "said", "fails"),
    [
        (
            {"version": "1.0", "vulns": [make_vulnerability("1.1", "2.0")]},
            "spam 1.0: PYSEC-1, CVE-1: move to 1.1 or 2.0",
            True,
        ),
        (
            {"version": "1.0", "vulns": [make_vulnerability()]},
            "spam 1.0: PYSEC-1, CVE-1: no version without it yet",
            False,
        ),
        ({"skip_reason": "not found"}, "spam: not checked: not found", True),
    ],
    ids=["mended", "not mended", "not checked"],
)
def test_report_fails_where_something_can_be_done(package, said, fails):
    (finding,) = read_report(make_report(**package))
    assert str(finding) == said
    assert finding.fails is fails


def test_main_counts_a_package_of_two_files_once(monkeypatch, capsys):
    report = make_report(version="1.0", vulns=[make_vulnerability()])
    monkeypatch.setattr(vulnerabilities, "ask", lambda _: list(read_report(report)))
    assert vulnerabilities.main(["a", "b"]) == 0
    assert capsys.readouterr().out.endswith("1 findings, 0 of them to be dealt with\n")
