"""The operator as a Deployment in the real cluster, and users with namespaces of their own."""

from collections.abc import Iterator

import pytest
from hack.cluster import testing
from hack.cluster.cluster import Cluster
from tests.support.installation import Installation, install
from tests.support.serving import User

# https://kubernetes.io/docs/concepts/security/pod-security-standards/
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def installation(cluster: Cluster, preparation_errors: dict[str, str]) -> Installation:
    """The operator, installed from the manifests with images built from this tree."""
    if message := preparation_errors.get("installation"):
        pytest.fail(message, pytrace=False)
    return install(cluster)


@pytest.fixture(scope="module")
def user(installation: Installation) -> Iterator[User]:
    """A user whose namespace enforces the Pod Security Standard "restricted", shared by a module's tests."""
    api = installation.cluster.api
    with testing.fresh_namespace(api) as namespace:
        api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": RESTRICTED}})
        yield User(installation.cluster, namespace)
