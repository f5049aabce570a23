import base64
import json

import pytest

from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.oci import build_api_host
from modelservice_runtime.fetch.oci_auth import Challenge, Login, find_login, parse_challenge
from modelservice_runtime.fetch.uri import OciUri

URI = OciUri("r.example:5000", "team/models/spam", "1", None)


def docker_config(**entries: object) -> Credentials:
    return Credentials({".dockerconfigjson": json.dumps({"auths": entries})})


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


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


@pytest.mark.parametrize(
    "key", ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v1/", "r.example:5000/team"]
)
def test_find_login_key_forms_all_name_the_registry(key):
    assert find_login(docker_config(**{key: auth("u:p:w")}), URI) == Login("u", "p:w")


def test_find_login_longest_path_wins():
    credentials = docker_config(
        **{"r.example:5000": auth("a:1"), "r.example:5000/team/models": auth("b:2"), "r.example": auth("c:3")}
    )
    assert find_login(credentials, URI) == Login("b", "2")


def test_find_login_docker_hub_goes_by_its_old_address():
    credentials = docker_config(**{"https://index.docker.io/v1/": {"username": "u", "password": "p"}})
    assert find_login(credentials, OciUri("docker.io", "org/spam", "1", None)) == Login("u", "p")


def test_registry_docker_hub_is_asked_at_the_host_of_its_api():
    assert build_api_host("docker.io") == "registry-1.docker.io"
    assert build_api_host("r.example:5000") == "r.example:5000"


def test_find_login_token_entry_is_used_as_it_is():
    assert find_login(docker_config(**{"r.example:5000": {"registrytoken": "t"}}), URI) == Login(token="t")


def test_find_login_plain_keys_serve_where_there_is_no_docker_configuration():
    assert find_login(Credentials({"username": "u", "password": "p"}), URI) == Login("u", "p")


@pytest.mark.parametrize("credentials", [Credentials(), docker_config(**{"other.example": auth("u:p")})])
def test_find_login_no_entry_means_anonymous(credentials):
    assert find_login(credentials, URI) is None


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials({".dockerconfigjson": "nope"}),
        Credentials({".dockerconfigjson": '{"auths": []}'}),
        docker_config(**{"r.example:5000": {}}),
        docker_config(**{"r.example:5000": "text"}),
        docker_config(**{"r.example:5000": {"identitytoken": "x"}}),
        docker_config(**{"r.example:5000": {"auth": "!"}}),
        docker_config(**{"r.example:5000": auth("nocolon")}),
        Credentials({"username": "u"}),
    ],
)
def test_find_login_unusable_entry_is_credentials_missing(credentials):
    with pytest.raises(FetchError) as caught:
        find_login(credentials, URI)
    assert caught.value.reason is FetchReason.CREDENTIALS_MISSING
