"""The same source gives the same image, to the byte; its labels say what it is."""

import os

import pytest
from hack.demo.images import OPERATOR
from hack.release.images import build

TIME_SECONDS = 1_700_000_000
TITLE = "org.opencontainers.image.title"


@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="building images needs root")
def test_image_built_twice_from_nothing_has_the_same_digest() -> None:
    first, second = (build(OPERATOR, TIME_SECONDS, use_cache=False) for _ in range(2))
    assert first.digest == second.digest
    assert first.digest.startswith("sha256:")
    assert first.labels[TITLE] == "modelservice-operator"
    assert first.labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert first.labels["org.opencontainers.image.base.name"]
