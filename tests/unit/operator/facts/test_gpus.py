from __future__ import annotations

import pytest

from modelservice_operator.facts.gpus import mig_profile, mig_resource

RESOURCES = {
    "1g.10gb": "nvidia.com/mig-1g.10gb",
    "1g.10gb+me": "nvidia.com/mig-1g.10gb.me",
    "1g.24gb+me.all": "nvidia.com/mig-1g.24gb.me.all",
    "4g.96gb+gfx": "nvidia.com/mig-4g.96gb.gfx",
    "1g.24gb-me": "nvidia.com/mig-1g.24gb-me",
}
"""As the device plugin names them: each + of the profile is a dot."""


@pytest.mark.parametrize(("profile", "resource"), RESOURCES.items())
def test_mig_profile_is_the_one_whose_resource_it_is(profile: str, resource: str) -> None:
    assert mig_resource(profile) == resource
    assert mig_profile(resource) == profile


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb.shared", "1g.10gb"])
def test_mig_profile_of_anything_else_is_none(resource: str) -> None:
    assert mig_profile(resource) is None
