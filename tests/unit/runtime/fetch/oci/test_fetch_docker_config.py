import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.oci.docker_config import Login, explain_no_login, find_login
from modelservice_runtime.fetch.uri import OciUri

URI = OciUri("r.example:5000", "team/models/spam", "1", None)


def docker_config(**entries: object) -> Credentials:
    return Credentials({".dockerconfigjson": json.dumps({"auths": entries})})


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def login_of(registry: str, **entries: object) -> Login | None:
    return find_login(docker_config(**entries), OciUri(registry, "team/models/spam", "1", None))


@pytest.mark.parametrize(
    "key",
    [
        "r.example:5000",
        "https://r.example:5000",
        "http://r.example:5000/",
        "https://r.example:5000/v1/",
        "r.example:5000/v2/",
        "r.example:5000/team",
        "R.example:5000",
        "*.example:5000",
        "r.ex*le:5000/team/models/spam",
    ],
)
def test_find_login_key_forms_all_name_the_registry(key):
    assert find_login(docker_config(**{key: auth("u:p:w")}), URI) == Login("u", "p:w")


@pytest.mark.parametrize(
    "key",
    [
        "r.example",
        "*.example",
        "*:5000",
        "*.*.example:5000",
        "r.example:5001",
        "r.example:5000/teams",
        "r.example:5000/tea",
        "r.example:5000/team/models/spam/1",
        "example:5000",
    ],
)
def test_find_login_keys_of_others_mean_anonymous(key):
    assert find_login(docker_config(**{key: auth("u:p")}), URI) is None


@pytest.mark.parametrize(
    ("key", "registry", "fits"),
    [
        ("*.azurecr.io", "team.azurecr.io", True),
        ("*.azurecr.io", "a.team.azurecr.io", False),
        ("*.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.eu-west-1.amazonaws.com", True),
        ("*.*.example", "a.b.example", True),
        ("*.example", "example", False),
    ],
)
def test_find_login_star_stands_for_one_label_as_for_the_kubelet(key, registry, fits):
    assert (login_of(registry, **{key: auth("u:p")}) is not None) is fits


def test_find_login_longest_path_wins_then_the_host_without_a_star():
    entries = {
        "*.example:5000": auth("a:1"),
        "r.example:5000": auth("b:2"),
        "*.example:5000/team/models": auth("c:3"),
    }
    assert find_login(docker_config(**entries), URI) == Login("c", "3")
    del entries["*.example:5000/team/models"]
    assert find_login(docker_config(**entries), URI) == Login("b", "2")


def test_find_login_docker_hub_goes_by_its_old_address():
    credentials = docker_config(**{"https://index.docker.io/v1/": {"username": "u", "password": "p"}})
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        assert find_login(credentials, OciUri(name, "org/spam", "1", None)) == Login("u", "p")


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"registrytoken": "t"}, Login(token="t")),
        ({"identitytoken": "i"}, Login(identity_token="i")),
        # As `az acr login` leaves it.
        ({**auth("00000000-0000-0000-0000-000000000000:"), "identitytoken": "i"}, Login(identity_token="i")),
        (auth("<token>:i"), Login(identity_token="i")),
        ({"auth": "dTpw"}, Login("u", "p")),
        ({"auth": "dTpwdw"}, Login("u", "pw")),
        ({"auth": "dTpwdw==\n"}, Login("u", "pw")),
        ({"auth": "dTpw\ndw=="}, Login("u", "pw")),
        ({"auth": base64.urlsafe_b64encode(b"u:?>?>").decode()}, Login("u", "?>?>")),
        ({"auth": base64.b64encode(b"u:pw\x00").decode()}, Login("u", "pw")),
        ({"username": "u", "password": "p", "email": "e"}, Login("u", "p")),
    ],
)
def test_find_login_reads_every_form_of_an_entry(entry, login):
    assert find_login(docker_config(**{"r.example:5000": entry}), URI) == login


def test_find_login_empty_entries_count_for_nothing():
    entries = {"r.example:5000/team": {}, "r.example:5000/team/models": {"auth": ""}}
    assert find_login(docker_config(**entries), URI) is None
    assert find_login(docker_config(**entries, **{"r.example:5000": auth("u:p")}), URI) == Login("u", "p")


def test_find_login_old_docker_configuration_has_no_auths():
    text = json.dumps({"https://r.example:5000": auth("u:p")})
    assert find_login(Credentials({".dockercfg": text}), URI) == Login("u", "p")


def test_find_login_plain_keys_serve_where_there_is_no_docker_configuration():
    assert find_login(Credentials({"username": "u", "password": "p"}), URI) == Login("u", "p")


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        docker_config(**{"other.example": auth("u:p")}),
        Credentials({"config.json": '{"auths": null}'}),
        Credentials({"config.json": '{"credsStore": "desktop"}'}),
    ],
)
def test_find_login_no_entry_means_anonymous(credentials):
    assert find_login(credentials, URI) is None


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials({".dockerconfigjson": "nope"}),
        Credentials({".dockerconfigjson": "[]"}),
        Credentials({".dockerconfigjson": '{"auths": []}'}),
        docker_config(**{"r.example:5000": {"email": "e"}}),
        docker_config(**{"r.example:5000": {"auth": "!"}}),
        docker_config(**{"r.example:5000": {"auth": "dTpwd"}}),
        docker_config(**{"r.example:5000": auth("nocolon")}),
        docker_config(**{"r.example:5000": {"username": "u"}}),
        Credentials({"username": "u"}),
    ],
)
def test_find_login_unusable_entry_is_credentials_missing(credentials):
    with pytest.raises(FetchError) as caught:
        find_login(credentials, URI)
    assert caught.value.reason is FetchReason.CREDENTIALS_MISSING


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"credsStore": "desktop", "auths": {"r.example:5000": {}}}, "'desktop'"),
        ({"credHelpers": {"r.example:5000": "ecr-login"}, "credsStore": "x"}, "'ecr-login'"),
        ({"credHelpers": {"other.example": "ecr-login"}}, "an entry for r.example:5000"),
        ({"auths": {"r.example:5000": {}}}, "an entry for r.example:5000"),
        (None, "spec.model.credentials.secretName"),
    ],
)
def test_explain_no_login_names_the_helper_and_the_remedy(config, named):
    credentials = Credentials({"config.json": json.dumps(config)} if config else {})
    text = explain_no_login(credentials, URI)
    assert named in text
    assert "kubectl create secret docker-registry" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["auths", "auth", "r.example:5000", "identitytoken"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_find_login_any_json_is_read_or_refused(document):
    credentials = Credentials({"config.json": json.dumps(document)})
    login, reason = None, None
    try:
        login = find_login(credentials, URI)
    except FetchError as error:
        reason = error.reason
    assert reason in (None, FetchReason.CREDENTIALS_MISSING)
    assert login is None or login.basic or login.token or login.identity_token
