"""Reading objects as API servers give them."""

import pytest
from hack.cluster.api import condition_status


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({}, ""),
        ({"status": {}}, ""),
        # As a definition is in its first milliseconds.
        ({"status": {"conditions": None}}, ""),
        ({"status": {"conditions": [{"type": "Established", "status": "True"}]}}, "True"),
    ],
)
def test_condition_status_absent_or_null_is_empty(found, status):
    assert condition_status(found, "Established") == status
