import pytest

from modelservice_runtime.fetch.oci.auth import Challenge, parse_challenge
from modelservice_runtime.fetch.oci.registry import build_api_host


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://a/t",service="r",scope="repository:x:pull"',
            Challenge("bearer", {"realm": "https://a/t", "service": "r", "scope": "repository:x:pull"}),
        ),
        ('Basic realm="r"', Challenge("basic", {"realm": "r"})),
        ('Basic realm="r", Bearer realm="https://a/t"', Challenge("bearer", {"realm": "https://a/t"})),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_parse_challenge_reads_scheme_and_parameters(header, expected):
    assert parse_challenge(header) == expected


def test_registry_docker_hub_is_asked_at_the_host_of_its_api():
    assert build_api_host("docker.io") == "registry-1.docker.io"
    assert build_api_host("r.example:5000") == "r.example:5000"
