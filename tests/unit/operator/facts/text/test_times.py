"""Times as Kubernetes writes them."""

from __future__ import annotations

import pytest

from modelservice_operator.facts.text.times import parse_time


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "soon", None])
def test_text_of_no_time_is_none(text: object) -> None:
    assert parse_time(text) is None
