"""An existing cluster: which builder, which scheme, which forwarded address."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hack.demo import targets
from hack.demo.errors import DemoError
from hack.demo.images import Image
from hack.demo.targets import ContextTarget
from tests.support.ports import free_port


def make_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


class EmptyRegistry(BaseHTTPRequestHandler):
    """Speaks plain http, and has nothing."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def registry_name() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyRegistry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(targets, "_BUILDERS", ("builder-one", "builder-two"))
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    return Image("modelservice/app", "app", Path("Dockerfile"))


def test_provide_image_uses_the_first_builder_that_works(programs, tmp_path, image, registry_name):
    make_program(programs, "builder-one", "exit 1")
    make_program(programs, "builder-two", f'echo "$@" >> {tmp_path}/calls')
    target = ContextTarget("kind", "nodes:5000/team", f"{registry_name}/team")
    tag = image.compute_tag(tmp_path)
    assert target.provide_image(image, tmp_path) == f"nodes:5000/team/app:{tag}"
    assert (tmp_path / "calls").read_text().splitlines() == [
        "info",
        f"build --file Dockerfile --tag {registry_name}/team/app:{tag} .",
        f"push --tls-verify=false {registry_name}/team/app:{tag}",
    ]


def test_provide_image_no_builder_works_says_so(programs, tmp_path, image, registry_name):
    make_program(programs, "builder-one", "exit 1")
    with pytest.raises(DemoError, match="builder-one, builder-two, and none works"):
        ContextTarget("kind", registry_name, registry_name).provide_image(image, tmp_path)


def test_provide_image_failed_build_shows_the_reason(programs, tmp_path, image, registry_name):
    make_program(programs, "builder-one", 'test "$1" = info || { echo "no such base" >&2; exit 1; }')
    with pytest.raises(DemoError, match=r"builder-one build (.|\n)*no such base"):
        ContextTarget("kind", registry_name, registry_name).provide_image(image, tmp_path)


def test_registry_plain_http_is_found_out(registry_name):
    target = ContextTarget("kind", "nodes:5000", f"{registry_name}/team/a")
    assert (target.registry.url, target.registry.prefix) == (f"http://{registry_name}", "team/a/")


def test_registry_nobody_listens_names_it():
    port = free_port()
    with pytest.raises(DemoError, match=f"registry 127.0.0.1:{port} does not answer"):
        _ = ContextTarget("kind", "nodes:5000", f"127.0.0.1:{port}").registry


def test_read_address_forward_says_where_it_listens():
    line = "Forwarding from 127.0.0.1:41234 -> 8080"
    with subprocess.Popen(["echo", line], stdout=subprocess.PIPE, text=True) as forward:
        assert targets._read_address(forward) == "http://127.0.0.1:41234"


def test_read_address_forward_that_fails_shows_why():
    with (
        subprocess.Popen(["echo", "error: no pod"], stdout=subprocess.PIPE, text=True) as forward,
        pytest.raises(DemoError, match="error: no pod"),
    ):
        targets._read_address(forward)
