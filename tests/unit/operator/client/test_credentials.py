"""Tokens are read again before they expire; missing credentials say what to do."""

import pytest

from modelservice_operator.client import credentials
from modelservice_operator.facts.errors import OperatorError


def test_file_token_is_read_again_after_a_minute_or_a_refusal(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now[0])
    file = tmp_path / "token"
    file.write_text("one\n")
    token = credentials.FileToken(file)
    assert token.authorization() == "Bearer one"
    file.write_text("two\n")
    assert token.authorization() == "Bearer one"
    token.refresh()
    assert token.authorization() == "Bearer two"
    file.write_text("three\n")
    now[0] += credentials.TOKEN_REREAD_SECONDS + 1
    assert token.authorization() == "Bearer three"


def test_pod_credentials_without_token_say_what_to_do(tmp_path):
    with pytest.raises(OperatorError, match="--kubeconfig"):
        credentials.pod_credentials("https://10.96.0.1:443", tmp_path)


def test_kubeconfig_credentials_without_file_name_it(tmp_path):
    with pytest.raises(OperatorError, match="absent"):
        credentials.kubeconfig_credentials(str(tmp_path / "absent"), None)


def test_kubeconfig_credentials_with_token_give_the_header(tmp_path):
    file = tmp_path / "config"
    file.write_text(
        """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: k, cluster: {server: "http://127.0.0.1:1/"}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
"""
    )
    found = credentials.kubeconfig_credentials(str(file), None)
    assert (found.server, found.ssl_context) == ("http://127.0.0.1:1", None)
    assert found.tokens.authorization() == "Bearer secret"
