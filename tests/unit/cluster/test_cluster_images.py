import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.buildah import share_of_steps
from hack.cluster.debian import parse_mirror, pip_configuration
from hack.cluster.errors import ClusterError
from hack.cluster.images import ImageBuild, copied_sources, find_outdated, hash_inputs
from hack.cluster.kwok import make_gpu_node
from hack.cluster.packages import ensure_packages, missing_packages
from hack.cluster.registry import parse_reference, push_model

DOCKERFILE = """\
ARG BASE_IMAGE=x
FROM ${BASE_IMAGE} AS build
COPY --chown=1:1 pyproject.toml \\
     README.md /src/
copy ["with space", "/src/"]
ADD code /src/code
FROM ${BASE_IMAGE}
COPY --from=build /out /out
RUN echo COPY nothing
"""


DISABLED_AND_ENABLED = """\
Enabled: no
Types: deb
URIs: http://no.example
Suites: bookworm

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
"""


@pytest.fixture
def build(tmp_path: Path) -> ImageBuild:
    (tmp_path / "code").mkdir()
    for name in ("pyproject.toml", "README.md", "with space", "code/a.py", "other.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return ImageBuild("x:1", tmp_path / "Dockerfile", context=tmp_path)


def test_copied_sources_skips_other_stages() -> None:
    assert copied_sources(DOCKERFILE) == ["pyproject.toml", "README.md", "with space", "code"]


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("code/a.py", True),
        ("code/new.py", True),
        ("Dockerfile", True),
        ("other.txt", False),
        ("code/__pycache__/a.pyc", False),
    ],
)
def test_hash_inputs_changes_with_what_is_copied(build: ImageBuild, path: str, changes: bool) -> None:
    before = hash_inputs(build, {})
    changed = build.context / path
    changed.parent.mkdir(exist_ok=True)
    changed.write_text(DOCKERFILE + "# changed\n")
    assert (hash_inputs(build, {}) != before) == changes


def test_hash_inputs_changes_with_arguments_and_modes(build: ImageBuild) -> None:
    before = hash_inputs(build, {})
    assert hash_inputs(build, {"A": "1"}) != before
    (build.context / "README.md").chmod(0o755)
    assert hash_inputs(build, {}) != before


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        ([], 0.0),
        (["noise"], 0.0),
        (["STEP 1/4: FROM x", "noise"], 0.0),
        (["STEP 3/4: RUN x"], 0.5),
        (["[1/2] STEP 3/4: RUN x"], 0.25),
        (["[1/2] STEP 4/4: RUN x", "[2/2] STEP 1/9: FROM y"], 0.5),
    ],
)
def test_share_of_steps_counts_stages_alike(lines: list[str], share: float) -> None:
    assert share_of_steps(lines) == share


@pytest.mark.parametrize(
    "text",
    [
        "deb http://mirror.example/debian bookworm main\n",
        "# deb http://no.example bookworm a\ndeb [arch=all] http://mirror.example/debian bookworm main\n",
        "Types: deb deb-src\nURIs: http://mirror.example/debian http://b.example\nSuites: a bookworm\n",
        DISABLED_AND_ENABLED,
    ],
)
def test_parse_mirror_of_either_format_finds_url(text: str) -> None:
    assert parse_mirror(text, "bookworm") == "http://mirror.example/debian"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb-src http://x.example bookworm main\n",
        "deb http://x.example bookworm-updates main\n",
        "Types: deb\nURIs: http://x.example\nSuites: trixie\n",
    ],
)
def test_parse_mirror_of_other_suites_finds_none(text: str) -> None:
    assert parse_mirror(text, "bookworm") == ""


def test_pip_configuration_keeps_index_of_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://index.example/simple?a=%20\n")
    assert "index-url = https://index.example/simple?a=%20\n" in pip_configuration(tmp_path / "pip.conf")


@pytest.mark.parametrize(
    "reference", ["oci://other.example/models/x:1", "oci://10.0.0.1:5000/x", "10.0.0.1:5000/UPPER:1", ""]
)
def test_parse_reference_elsewhere_is_refused(reference: str) -> None:
    with pytest.raises(ClusterError, match=r"expected oci://10\.0\.0\.1:5000/REPOSITORY:TAG"):
        parse_reference(reference)


def test_find_outdated_leaves_what_another_checkout_may_be_pushing() -> None:
    images = [
        {"names": ["localhost/build/app:old"], "created": 1_000},
        {"names": ["localhost/build/app:recent"], "created": 99_000},
        {"names": ["localhost/build/app:newest"], "created": 1_000},
        {"names": ["localhost/build/app-too:old"], "created": 1_000},
        {"names": None, "created": 1_000},
    ]

    assert find_outdated(images, "localhost/build/app:newest", 100_000.0) == ["localhost/build/app:old"]


class RefusingRegistry(http.server.BaseHTTPRequestHandler):
    """Has no blob and takes none."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def do_POST(self) -> None:
        self.send_response(507)
        self.end_headers()
        self.wfile.write(json.dumps({"errors": ["disk full"]}).encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def refusing_registry() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RefusingRegistry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_push_model_refused_by_registry_shows_its_answer(refusing_registry: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"x")
    with pytest.raises(ClusterError, match=r"answered POST .* with status 507: .*disk full"):
        push_model(refusing_registry, model, "oci://10.0.0.1:5000/models/x:1")


def test_push_model_of_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"model\.onnx is not a file"):
        push_model("127.0.0.1:1", tmp_path / "model.onnx", "oci://10.0.0.1:5000/models/x:1")


def test_make_gpu_node_has_capacity_label_and_taint() -> None:
    node = make_gpu_node("gpu", product="NVIDIA-L4", count=4)
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-L4"
    assert node["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]


def test_missing_packages_of_present_programs_is_empty(tmp_path: Path) -> None:
    programs = {"sh": "dash", str(tmp_path): "base-files", "no-such-program": "b", "/no/such/file": "a"}
    assert missing_packages(programs) == ["a", "b"]


def test_ensure_packages_without_root_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"as root, run `apt-get install .* a-package`"):
        ensure_packages({"no-such-program": "a-package"})
