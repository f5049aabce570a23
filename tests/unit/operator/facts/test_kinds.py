"""By which label each kind of children is found."""

from modelservice_operator.facts import kinds


def test_selector_of_slices_is_one_that_kubernetes_gives_no_slice_of_its_own() -> None:
    # The labels of a Service are copied to its slices, all but those of this prefix.
    assert kinds.selector_of(kinds.ENDPOINT_SLICES) == (
        "endpointslice.kubernetes.io/managed-by=activator.modelservice.dev"
    )
    assert kinds.selector_of(kinds.DEPLOYMENTS) == "app.kubernetes.io/managed-by=modelservice-operator"
    assert kinds.selector_of(kinds.MODEL_SERVICES) == ""
