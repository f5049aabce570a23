"""A repository that is served over HTTP can be cloned, and has what was pushed and taken back."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from hack.cluster.git_http import Handler
from hack.cluster.git_repository import Repository


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a server for the repositories in the test's folder."""
    handler = type("Handler", (Handler,), {"folder": str(tmp_path), "log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def clone(url: str, folder: Path) -> str:
    command = ["git", "-c", "http.proxy=", "clone", "--quiet", f"{url}/models.git", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_clone_over_http_has_what_was_pushed_last(tmp_path: Path, url: str) -> None:
    repository = Repository(tmp_path, "models").create()
    first = repository.push("One", {"services/a.yaml": "a: 1\n"})
    repository.push("Two", {"services/a.yaml": "a: 2\n"})
    reverted = repository.revert()
    assert clone(url, tmp_path / "one") == reverted != first
    assert (tmp_path / "one/services/a.yaml").read_text() == "a: 1\n"

    last = repository.push("Three", {"services/a.yaml": None, "b": "c\n"})
    assert clone(url, tmp_path / "two") == last
    assert not (tmp_path / "two/services").exists()


def test_repository_that_is_not_there_is_not_found(tmp_path: Path, url: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        clone(url, tmp_path / "none")
