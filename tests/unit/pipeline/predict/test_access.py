"""What a real server wants of its clients, given by the flags: keys, TLS, certificates of clients."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.unit.runtime.certificates import Authority, write_server
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.arguments import add_endpoint_arguments, open_predictor
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.settings.security import SecuritySettings


@dataclass
class Guarded:
    """A server behind TLS, client certificates and keys, and the files with what its clients need."""

    url: str
    files: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, model_files: dict[str, Path]) -> Iterator[Guarded]:
    files = tmp_path_factory.mktemp("access")
    key, authority, clients = new_api_key(), Authority(), Authority("clients")
    (files / "keys").write_text(api_key_line("tests", key))
    (files / "key").write_text(f"{key}\n")
    (files / "other-key").write_text(new_api_key())
    (files / "authority.pem").write_bytes(authority.certificate)
    clients.issue("tests").write(files, "client")
    settings = SecuritySettings(
        api_key_file=files / "keys", tls=write_server(files, authority.issue("localhost"), clients)
    )
    with ServerThread({"mlp": model_files["mlp"]}, security=settings) as running:
        yield Guarded(f"https://127.0.0.1:{running.port}", files)


def ask(guarded: Guarded, **without_or_other: str | None) -> None:
    files = {
        "--ca-file": "authority.pem",
        "--client-cert": "client.pem",
        "--client-key": "client.key",
        "--api-key-file": "key",
    }
    for name, value in without_or_other.items():
        files[f"--{name.replace('_', '-')}"] = value or ""
    flags = [word for flag, file in files.items() if file for word in (flag, str(guarded.files / file))]
    parser = argparse.ArgumentParser()
    add_endpoint_arguments(parser)
    predictor = open_predictor(guarded.url, parser.parse_args(flags))
    assert predictor.predict({"x": np.zeros((40, 4))})["y"].shape == (40, 3)


def test_a_server_behind_tls_certificates_and_keys_answers(guarded: Guarded) -> None:
    ask(guarded)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"api_key_file": None}, r"401: .*give a key \(--api-key-file\)"),
        ({"api_key_file": "other-key"}, "401"),
        ({"ca_file": None}, "is not trusted .*--ca-file"),
        ({"client_cert": None, "client_key": None}, "certificate"),
        ({"client_key": "server.key"}, "cannot use the client certificate"),
        ({"ca_file": "nowhere"}, "cannot read the authorities"),
    ],
)
def test_what_lacks_is_told(guarded: Guarded, changed: dict[str, str | None], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        ask(guarded, **changed)
