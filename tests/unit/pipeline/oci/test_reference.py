"""References as people write them."""

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.reference import Reference, parse_reference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("registry.example.com/models/spam:1", Reference("registry.example.com", "models/spam", "1")),
        ("oci://localhost:5000/spam:v1.0", Reference("localhost:5000", "spam", "v1.0")),
        (f"r.example/a/b@{DIGEST}", Reference("r.example", "a/b", None, DIGEST)),
        (f"r.example/a:1@{DIGEST}", Reference("r.example", "a", "1", DIGEST)),
        ("[::1]:5000/spam:1", Reference("[::1]:5000", "spam", "1")),
    ],
)
def test_parse_reference_reads_it_and_writes_it_again(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text.removeprefix("oci://")


@pytest.mark.parametrize(
    "text",
    ["", "spam:1", "models/spam:1", "r.example/Spam:1", "https://r.example/a:1", "r.example/a:",
     "r.example/a@sha256:1",
     "r.example:99999/a:1", "r.example/../a:1", "user:pw@r.example/a:1", "r.example/a:1\n"],
)  # fmt: skip
def test_parse_reference_others_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(PipelineError, match=r"registry\.example\.com/models/spam:1"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost:5000", True),
        ("127.9.0.1", True),
        ("[::1]:5000", True),
        ("10.0.0.1:5000", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com:5000", False),
    ],
)
def test_is_local_is_this_machine_alone(host: str, is_local: bool) -> None:
    assert Reference(host, "a", "1").is_local is is_local


def test_wanted_needs_a_tag_or_a_digest() -> None:
    with pytest.raises(PipelineError, match="add :TAG"):
        _ = parse_reference("r.example/a").wanted
