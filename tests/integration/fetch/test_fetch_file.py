"""One file by its name, whatever is in it: the rows of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.fetch.fetch_models import make_model

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.main import build_parser

if TYPE_CHECKING:
    from tests.integration.fetch.fetch_registries import RegistryServer
    from tests.integration.fetch.fetch_stores import Store

ROWS = b"text,label\nhello,0\nbuy now,1\n"
SHA256 = "aef5b9d9b7b0f2f9b1d9d4e1dca0d1dcd3c8d4e1dca0d1dcd3c8d4e1dca0d1dc"
MODEL = make_model()


@pytest.fixture
def artifact(registry: RegistryServer) -> str:
    files = (("model.onnx", MODEL), ("data/rows.csv", ROWS), ("README.md", b"read me"))
    return registry.push("models/evaluated", "1", *files)


async def test_file_of_an_artifact_with_a_model(fetcher: Any, registry: Any, artifact: str) -> None:
    result = await fetcher.fetch(
        f"oci://{registry.name}/models/evaluated@{artifact}", file="rows.csv", credentials_directory=None
    )

    assert fetcher.files == {"rows.csv": ROWS}
    assert result.model_path == fetcher.destination / "rows.csv"


async def test_only_layer_without_a_name_is_the_file(fetcher: Any, registry: Any) -> None:
    digest = registry.push("data/rows", "1", (None, ROWS))
    await fetcher.fetch(
        f"oci://{registry.name}/data/rows@{digest}", file="rows.csv", credentials_directory=None
    )

    assert fetcher.files == {"rows.csv": ROWS}


async def test_file_that_is_not_there_is_missed_with_the_names_of_those_that_are(
    fetcher: Any, registry: Any, artifact: str
) -> None:
    error = await fetcher.fail(
        f"oci://{registry.name}/models/evaluated@{artifact}", file="other.csv", credentials_directory=None
    )

    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "no other.csv among the files (README.md, data/rows.csv, model.onnx)" in error.message


async def test_file_with_another_digest_is_refused(fetcher: Any, registry: Any, artifact: str) -> None:
    uri = f"oci://{registry.name}/models/evaluated@{artifact}"
    error = await fetcher.fail(uri, file="rows.csv", sha256=SHA256, credentials_directory=None)

    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_file_of_a_web_server_keeps_its_name(fetcher: Any, https: Any) -> None:
    await fetcher.fetch(https.serve("/sets/rows.csv", ROWS), file="rows.csv")

    assert fetcher.files == {"rows.csv": ROWS}


@pytest.mark.parametrize("path", ["sets/rows.csv", "sets/", "sets"])
async def test_file_of_a_bucket_by_its_key_or_below_a_prefix(fetcher: Any, store: Store, path: str) -> None:
    store.put("/models/sets/rows.csv", ROWS)
    credentials = fetcher.credentials(**store.keys)
    await fetcher.fetch(f"s3://models/{path}", file="rows.csv", credentials_directory=credentials)

    assert fetcher.files == {"rows.csv": ROWS}


@pytest.mark.parametrize("name", ["a/rows.csv", "../rows.csv", ".hidden", ""])
def test_name_with_a_folder_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--uri", "s3://models/sets/", "--file", name])

    assert "without a folder" in capsys.readouterr().err
