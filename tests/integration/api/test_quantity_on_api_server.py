"""Our canonical form of a quantity against the API server's."""

from hack.cluster.cluster import Cluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelservice_operator.api import canonical_quantity

SUFFIXES = [
    *["", "n", "u", "m", "k", "M", "G", "T", "P"],
    *["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E2", "e-4", "e0"],
]
quantities = st.builds(
    lambda number, fraction, suffix: f"{number}{fraction}{suffix}",
    st.one_of(st.integers(0, 2000), st.integers(0, 10**6 - 1)),
    st.one_of(st.just(""), st.integers(0, 9999).map(lambda digits: f".{digits}")),
    st.sampled_from(SUFFIXES),
)


def stored_quantities(cluster: Cluster, namespace: str, written: list[str]) -> list[str]:
    """Return each quantity as the API server gives it back."""
    volumes = [{"name": f"v{i}", "emptyDir": {"sizeLimit": text}} for i, text in enumerate(written)]
    pod = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    template = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "quantities"},
        "template": {"spec": pod},
    }
    stored = cluster.api.create(f"/api/v1/namespaces/{namespace}/podtemplates?dryRun=All", template)
    return [volume["emptyDir"]["sizeLimit"] for volume in stored["template"]["spec"]["volumes"]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(quantities, min_size=1, max_size=50))
def test_canonical_quantity_is_what_the_api_server_keeps(
    control_plane: Cluster, shared_namespace: str, written: list[str]
) -> None:
    canonical = [canonical_quantity(text) for text in written]
    assert stored_quantities(control_plane, shared_namespace, canonical) == canonical
    stored = stored_quantities(control_plane, shared_namespace, written)
    assert [canonical_quantity(text) for text in stored] == canonical
