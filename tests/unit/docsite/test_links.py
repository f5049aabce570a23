"""Links of pages, as they are in the repository and as they have to be on the site."""

from __future__ import annotations

import pytest
from hack.docsite.links import page_of, rewrite, targets


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("docs/guide.md", "guide.md"),
        ("docs/reference/modelservice.md", "reference/modelservice.md"),
        ("examples/01-spam/README.md", "tutorials/spam.md"),
        ("examples/02-go-client/README.md", "tutorials/go-client.md"),
        ("examples/06-gpu/mig.yaml", "files/examples/06-gpu/mig.yaml"),
        ("charts/modelservice-operator/README.md", "reference/chart.md"),
    ],
)
def test_page_of_file_is_its_place_on_the_site(path, page):
    assert page_of(path) == page


@pytest.mark.parametrize(
    ("path", "text", "rewritten"),
    [
        ("docs/guide.md", "[a](runtime.md#limits)", "[a](runtime.md#limits)"),
        ("docs/guide.md", "[a](../examples/03-canary/README.md)", "[a](tutorials/canary.md)"),
        ("docs/reference/modelservice.md", "[a](../gpu.md)", "[a](../gpu.md)"),
        ("examples/03-canary/README.md", "![a](../../docs/canary.png)", "![a](../canary.png)"),
        ("examples/03-canary/README.md", "[a](../01-spam/README.md#x)", "[a](spam.md#x)"),
        (
            "examples/03-canary/README.md",
            "[a](modelservice.yaml)",
            "[a](../files/examples/03-canary/modelservice.yaml)",
        ),
        (
            "docs/guide.md",
            "[a](#here) [b](https://x.dev/a.md) [c](/d.md)",
            "[a](#here) [b](https://x.dev/a.md) [c](/d.md)",
        ),
    ],
)
def test_rewrite_of_link_leads_where_the_file_is_on_the_site(path, text, rewritten):
    assert rewrite(path, text) == rewritten


def test_targets_of_page_are_files_of_the_repository():
    text = "[a](../examples/06-gpu/mig.yaml) [b](guide.md#x) [c](https://x.dev) [d](#e)"
    assert targets("docs/gpu.md", text) == {"examples/06-gpu/mig.yaml", "docs/guide.md"}
