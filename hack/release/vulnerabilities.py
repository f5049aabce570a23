"""What is known against the packages of our images: `python -m hack.release.vulnerabilities FILE...`.

It asks PyPI through pip-audit. It fails where a newer version would help, and where a package could not be
asked about: silence is no good news. What nobody has mended yet is told and fails nothing.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIP_AUDIT = Path(".venv-sbom/bin/pip-audit")


@dataclass(frozen=True)
class Finding:
    """One thing that is known, or that could not be found out, about one package."""

    package: str
    identifier: str
    """Of the vulnerability; empty where the package could not be asked about."""
    remedy: str

    @property
    def fails(self) -> bool:
        return not self.identifier or bool(self.remedy)

    def __str__(self) -> str:
        if not self.identifier:
            return f"{self.package}: not checked: {self.remedy}"
        return f"{self.package}: {self.identifier}: {self.remedy or 'no version without it yet'}"


def read_report(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a report of pip-audit (`--format json`) says."""
    for one in report["dependencies"]:
        if "skip_reason" in one:
            yield Finding(one["name"], "", one["skip_reason"])
        package = f"{one['name']} {one.get('version', '')}".strip()
        for vulnerability in one.get("vulns", ()):
            names = ", ".join([vulnerability["id"], *vulnerability.get("aliases", ())])
            versions = " or ".join(vulnerability["fix_versions"])
            yield Finding(package, names, f"move to {versions}" if versions else "")


def ask(requirements: Path) -> list[Finding]:
    """Ask about every package of a lock file; raise RuntimeError where there is no answer at all."""
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    result = subprocess.run(
        [PIP_AUDIT, "--requirement", requirements, *options], capture_output=True, text=True, check=False
    )
    if not result.stdout:
        raise RuntimeError(f"pip-audit says nothing about {requirements}: {result.stderr.strip()}")
    return list(read_report(json.loads(result.stdout)))


def main(files: Sequence[str]) -> int:
    """Print what is known; 1 where anything has to be done."""
    findings = {finding for file in files for finding in ask(Path(file))}
    for finding in sorted(findings, key=str):
        print(finding)
    failing = sum(finding.fails for finding in findings)
    print(f"{len(findings)} findings, {failing} of them to be dealt with")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
