"""What cards and licence texts say, and whether they agree."""

from pathlib import Path

import pytest
from tests.unit.pipeline.package.folders import MIT

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.package.licences import check_licence, read_licence, recognise_text

COMMON = Path("/usr/share/common-licenses")


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT", "MIT"),
        ("openrail++", "LicenseRef-openrail-plus-plus"),
        ("mit OR apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("(mit AND bsd-3-clause)", "(MIT AND BSD-3-Clause)"),
        ("LicenseRef-ours", "LicenseRef-ours"),
    ],
)
def test_read_licence_gives_an_spdx_expression(said: str, licence: str) -> None:
    assert read_licence(said) == licence


@pytest.mark.parametrize("said", ["", "Apache", "mit, apache", "free", "MIT; rm -rf", "()"])
def test_read_licence_unknown_is_refused(said: str) -> None:
    with pytest.raises(PipelineError, match="SPDX"):
        read_licence(said)


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("GPL-2", "GPL-2.0"),
        ("GPL-3", "GPL-3.0"),
        ("LGPL-2.1", "LGPL-2.1"),
        ("LGPL-3", "LGPL-3.0"),
        ("MPL-2.0", "MPL-2.0"),
        ("CC0-1.0", "CC0-1.0"),
        ("Artistic", None),
    ],
)
@pytest.mark.skipif(not COMMON.is_dir(), reason="Debian keeps the texts there")
def test_recognise_text_knows_what_debian_ships(name: str, licence: str | None) -> None:
    assert recognise_text((COMMON / name).read_text()) == licence


def test_check_licence_contradiction_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"the card says Apache-2.0, and the text in LICENSE is MIT"):
        check_licence({"license": "apache-2.0"}, MIT)


@pytest.mark.parametrize("named", ["mit", ["apache-2.0", "mit"], "MIT OR GPL-3.0-or-later", "mit-0"])
def test_check_licence_agreement_says_nothing(named: object) -> None:
    assert check_licence({"license": named}, MIT)[1] == ()


@pytest.mark.parametrize(
    ("metadata", "text", "licence", "told"),
    [
        ({}, None, "", "no licence is named"),
        ({}, MIT, "MIT", "the card does not say so"),
        ({"license": "cc-by-nc-4.0"}, None, "CC-BY-NC-4.0", "forbids commercial use"),
        ({"license": "other"}, None, "LicenseRef-other", "license_link"),
        ({"license": "gpl-3.0-or-later"}, "GNU GENERAL PUBLIC LICENSE\n  Version 3", "GPL-3.0-or-later", ""),
    ],
)
def test_check_licence_tells_what_a_person_should_know(metadata, text, licence: str, told: str) -> None:
    found, sentences = check_licence(metadata, text)
    assert found == licence
    assert told in " ".join(sentences)
