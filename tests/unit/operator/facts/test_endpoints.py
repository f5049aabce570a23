"""EndpointSlices as the API server sends them: what is left out means what the API says."""

from modelservice_operator.facts.endpoints import Endpoint, Slice, read_slice


def test_read_slice_of_kubernetes_names_pods_and_their_conditions():
    found = read_slice(
        {
            "addressType": "IPv6",
            "endpoints": [
                {
                    "addresses": ["fd00::7"],
                    "conditions": {"ready": False, "serving": True, "terminating": True},
                    "targetRef": {"kind": "Pod", "name": "spam-1", "uid": "uid-1"},
                }
            ],
            "ports": [{"name": "http", "port": 8080}, {"name": "grpc", "port": 9000}],
        }
    )
    leaving = Endpoint(
        address="fd00::7", ready=False, serving=True, terminating=True, pod="spam-1", pod_uid="uid-1"
    )
    assert found == Slice(address_type="IPv6", endpoints=(leaving,), ports={"http": 8080, "grpc": 9000})


def test_read_slice_endpoint_without_conditions_is_ready():
    found = read_slice({"endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": []}]})
    assert found.endpoints == (Endpoint(address="10.0.0.1"),)


def test_read_slice_endpoint_not_ready_is_not_serving_unless_it_says_so():
    (endpoint,) = read_slice(
        {"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}
    ).endpoints
    assert not endpoint.serving


def test_read_slice_of_nothing_has_no_endpoints_and_no_ports():
    assert read_slice({"endpoints": None, "ports": None}) == Slice(
        address_type="IPv4", endpoints=(), ports={}
    )
    assert read_slice({"ports": [{"name": ""}]}).ports == {}
