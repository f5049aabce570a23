"""Logins as Docker, Podman and credential helpers keep them."""

import base64
import json
import os
from pathlib import Path

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.logins import Login, find_login
from modelservice_pipeline.oci.reference import parse_reference

SPAM = parse_reference("registry.example.com/team/spam:1")
HUB = parse_reference("docker.io/team/spam:1")


def auth(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:pw:1".encode()).decode()}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(document: object) -> None:
        (tmp_path / "config.json").write_text(json.dumps(document))

    return write


def test_find_login_without_any_is_none(config) -> None:
    assert find_login(SPAM, {}) is None


@pytest.mark.parametrize(
    ("auths", "login"),
    [
        ({"registry.example.com": auth("a")}, Login("a", "pw:1")),
        ({"https://registry.example.com/v2/": auth("a")}, Login("a", "pw:1")),
        ({"registry.example.com": auth("a"), "registry.example.com/team": auth("b")}, Login("b", "pw:1")),
        ({"registry.example.com": auth("a"), "registry.example.com/te": auth("b")}, Login("a", "pw:1")),
        ({"registry.example.com": {}, "other.example.com": auth("b")}, None),
        ({"registry.example.com.evil.example": auth("b")}, None),
        ({"registry.example.com": {"identitytoken": "t"}}, Login(identity_token="t")),
        ({"registry.example.com": {"username": "a", "password": "p"}}, Login("a", "p")),
    ],
)
def test_find_login_takes_the_entry_that_fits_best(config, auths: dict[str, object], login) -> None:
    config({"auths": auths})
    assert find_login(SPAM, {}) == login


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
def test_find_login_docker_hub_has_many_names(config, key: str) -> None:
    config({"auths": {key: auth("a")}})
    assert find_login(HUB, {}) == Login("a", "pw:1")


@pytest.mark.parametrize(
    "document", [[], {"auths": {"registry.example.com": {"auth": "?"}}}, {"credsStore": "../../bin/sh"}]
)
def test_find_login_that_cannot_be_read_says_so(config, document: object) -> None:
    config(document)
    with pytest.raises(PipelineError):
        find_login(SPAM, {})


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "login"),
    [
        ("""echo '{"Username": "a", "Secret": "s"}'""", Login("a", "s")),
        ("""echo '{"Username": "<token>", "Secret": "s"}'""", Login(identity_token="s")),
        ("echo 'credentials not found in native keychain'; exit 1", None),
    ],
)
def test_find_login_asks_a_helper(config, tmp_path, monkeypatch, script: str, login: Login | None) -> None:
    config({"auths": {}, "credsStore": "test"})
    helper(tmp_path, monkeypatch, script)
    assert find_login(SPAM, {}) == login


@pytest.mark.parametrize("script", ["echo locked >&2; exit 1", "echo nonsense", "echo '{}'"])
def test_find_login_helper_that_fails_is_named(config, tmp_path, monkeypatch, script: str) -> None:
    config({"credHelpers": {"registry.example.com": "test"}})
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(PipelineError, match="docker-credential-test"):
        find_login(SPAM, {})


def test_find_login_helper_that_is_not_there_is_named(config) -> None:
    config({"credsStore": "nowhere"})
    with pytest.raises(PipelineError, match="docker-credential-nowhere"):
        find_login(SPAM, {})
