"""Steps of `modelservice model` that are given the name of a ModelService: its API server leads to it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.pipeline.predict.played_server import Played, playing

from modelservice_cli.main import main

SERVICE = "/apis/modelservice.dev/v1alpha1/namespaces/mail/modelservices/spam"
PROXY = "/api/v1/namespaces/mail/services/http:spam:80/proxy"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("x\n1\n2\n")
    return path


def save_kubeconfig(tmp_path: Path, played: Played) -> Path:
    server = played.url.removesuffix("/v2/models/m")
    config: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "k", "context": {"cluster": "c", "user": "u", "namespace": "mail"}}],
        "current-context": "k",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def explain(played: Played, tmp_path: Path, rows: Path, *flags: str) -> int:
    kubeconfig = str(save_kubeconfig(tmp_path, played))
    asked = ["spam", "--background", str(rows), "--row", "0", "--method", "exact", "--json"]
    return main(["model", "explain", *asked, "--kubeconfig", kubeconfig, *flags])


def service(**status: str) -> dict[str, Any]:
    return {"metadata": {"name": "spam", "namespace": "mail"}, "spec": {}, "status": status}


def test_a_service_is_asked_through_the_api_server_as_the_kubeconfig_says(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPAM_KEY", "key-of-the-model")
    with playing() as played:
        played.documents[SERVICE] = service(url="http://spam.mail.svc/v2/models/m")
        assert explain(played, tmp_path, rows, "--api-key-env", "SPAM_KEY") == 0
    assert json.loads(capsys.readouterr().out)["prediction"] == 2
    assert played.paths[0] == SERVICE
    assert set(played.paths[1:]) == {
        f"{PROXY}/v2",
        f"{PROXY}/v2/models/m",
        f"{PROXY}/v2/models/m/infer",
    }
    for headers in played.headers:
        assert headers["Authorization"] == "Bearer secret-token"
        assert headers["X-Api-Key"] == "key-of-the-model"


def test_a_service_that_does_not_answer_yet_is_told(
    tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with playing() as played:
        played.documents[SERVICE] = service()
        assert explain(played, tmp_path, rows) == 1
    assert "does not answer yet" in capsys.readouterr().err


def test_what_is_for_urls_is_refused_for_a_service(
    tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with playing() as played:
        assert explain(played, tmp_path, rows, "--token-file", "t") == 1
    assert "are for URLs" in capsys.readouterr().err
