"""The bill of materials of an image names every package that goes into it."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_bill_of_materials_names_every_package_with_version_and_hash() -> None:
    subprocess.run(["make", "--silent", "sbom", "IMAGES=operator"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "dist/modelservice-operator.cdx.json").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements/operator.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "modelservice")
    assert {(one["name"], one["version"]) for one in bill["components"]} == locked
    for one in bill["components"]:
        assert one["purl"] == f"pkg:pypi/{one['name'].lower()}@{one['version']}"
        assert {kind["alg"] for ref in one["externalReferences"] for kind in ref["hashes"]} == {"SHA-256"}
