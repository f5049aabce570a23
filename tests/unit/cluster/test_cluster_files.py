import datetime
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID
from hack.cluster.components import ControlPlane, Endpoints
from hack.cluster.errors import ClusterError
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.node import Node
from hack.cluster.ociarchive import write_oci_archive
from hack.cluster.paths import ClusterPaths, cache_directory, file_lock, state_directory
from hack.cluster.pki import write_pki
from hack.cluster.preflight import check_directories, delegate_controllers
from hack.cluster.processes import current_boot_id
from hack.cluster.progress import Progress, estimate_left_seconds, format_duration
from hack.cluster.record import Record, read_record, write_record

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    return ClusterPaths(tmp_path / "clusters" / "x")


def test_directories_follow_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("MODELSERVICE_CACHE", "MODELSERVICE_STATE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "b"))
    assert cache_directory() == tmp_path / "a/modelservice"
    assert state_directory() == tmp_path / "b/modelservice/clusters"
    monkeypatch.setenv("MODELSERVICE_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("MODELSERVICE_STATE", str(tmp_path / "d"))
    assert cache_directory() == tmp_path / "c"
    assert state_directory() == tmp_path / "d/clusters"


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "..", "a" * 33])
def test_for_name_of_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="cluster name"):
        ClusterPaths.for_name(name)


def test_file_lock_excludes_others_until_released(tmp_path: Path) -> None:
    order = []

    def work() -> None:
        with file_lock(tmp_path / "lock", "waiting"):
            order.append("second")

    with file_lock(tmp_path / "lock", "waiting"):
        other = threading.Thread(target=work)
        other.start()
        other.join(timeout=0.2)
        order.append("first")
        # Whoever waits must not go on with a lock that is no more.
        (tmp_path / "lock").unlink()
    other.join(timeout=120)
    assert order == ["first", "second"]


def test_file_lock_of_killed_holder_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hack.cluster.paths import file_lock\n"
        "with file_lock(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with file_lock(tmp_path / "lock", "waiting"):
        pass


def test_record_after_write_is_read_back(paths: ClusterPaths) -> None:
    record = Record(
        current_boot_id(),
        Endpoints("127.0.0.1", 1, 2, 3),
        namespace=True,
        node=True,
        kwok=False,
        complete=True,
    )
    assert read_record(paths) is None
    write_record(paths, record)
    assert read_record(paths) == record
    assert record.is_usable()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"endpoints": 3}', "{"])
def test_read_record_of_other_content_is_none(paths: ClusterPaths, content: str) -> None:
    paths.root.mkdir(parents=True)
    paths.record.write_text(content)
    assert read_record(paths) is None


def test_write_pki_signs_for_kubernetes_users(tmp_path: Path) -> None:
    write_pki(tmp_path, NOW)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    kubelet = x509.load_pem_x509_certificate((tmp_path / "kubelet.crt").read_bytes())
    kubelet.verify_directly_issued_by(authority)
    subject = {attribute.oid: attribute.value for attribute in kubelet.subject}
    assert subject == {
        NameOID.COMMON_NAME: "system:node:node1",
        NameOID.ORGANIZATION_NAME: "system:nodes",
    }
    assert isinstance(authority.public_key(), ec.EllipticCurvePublicKey)
    server = x509.load_pem_x509_certificate((tmp_path / "apiserver.crt").read_bytes())
    names = server.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert "10.96.0.1" in {str(name.value) for name in names}  # type: ignore[attr-defined]
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_write_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    write_pki(tmp_path / "pki", NOW)
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, tmp_path / "pki", "admin", "https://127.0.0.1:1")
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


def test_control_plane_on_loopback_publishes_no_address(paths: ClusterPaths) -> None:
    programs = dict.fromkeys(("kube-apiserver",), Path("/bin/true"))
    command = ControlPlane(paths, Endpoints("127.0.0.1", 1, 2, 3), programs).apiserver()
    assert {"--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", "--secure-port=1"} <= set(command)


def test_node_configuration_stays_in_cluster_directory(paths: ClusterPaths) -> None:
    Node(paths, {}).write_configuration("overlayfs")
    kubelet = json.loads((paths.config / "kubelet.json").read_text())
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{paths.containerd_socket}"
    assert kubelet["podLogsDir"].startswith(str(paths.root))
    bridge = json.loads((paths.config / "cni/10-bridge.conflist").read_text())["plugins"][0]
    assert bridge["ipam"]["dataDir"].startswith(str(paths.root))


@pytest.mark.parametrize("directory", ["/run/x", "/var/lib/x", "/var/log/x", "/var/run/x"])
def test_check_directories_below_private_ones_is_refused(directory: str) -> None:
    with pytest.raises(ClusterError, match="MODELSERVICE_STATE"):
        check_directories(ClusterPaths(Path(directory)))


def test_delegate_controllers_refused_by_kernel_says_what_to_do() -> None:
    # A file that root, too, can read and not write.
    with pytest.raises(ClusterError, match=r"cannot write \+cpu \+memory \+pids .* --cgroupns=host"):
        delegate_controllers(Path("/proc/sys/kernel/random/boot_id"))


def test_delegate_controllers_asks_for_missing_ones_only(tmp_path: Path) -> None:
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("cpu pids io\n")
    delegate_controllers(control)
    assert control.read_text() == "+memory"


def test_write_oci_archive_describes_each_blob_by_its_digest(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "layer.tar", "w") as layer:
        layer.add(__file__, "file")
    write_oci_archive(tmp_path / "image.tar", "localhost/x:1", tmp_path / "layer.tar", {"Cmd": ["x"]})
    with tarfile.open(tmp_path / "image.tar") as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    blobs = {name.rpartition("/")[2]: data for name, data in files.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "localhost/x:1"
    manifest = json.loads(blobs[entry["digest"].removeprefix("sha256:")])
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert len(config["history"]) == 1


@pytest.mark.parametrize(
    ("elapsed", "share", "left"),
    [(10.0, 0.0, 90.0), (500.0, 0.0, 0.0), (50.0, 0.5, 50.0), (300.0, 0.25, 900.0), (20.0, 0.1, 130.0)],
)
def test_estimate_left_seconds_trusts_pace_more_the_later(elapsed: float, share: float, left: float) -> None:
    assert estimate_left_seconds(elapsed, share, expected_seconds=100.0) == pytest.approx(left)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s")])
def test_format_duration_rounds_to_seconds(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_progress_without_terminal_writes_plain_lines() -> None:
    stream = io.StringIO()
    progress = Progress("building x", 60.0, stream)
    progress.update(0.5)
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "building x: about 1 min 00 s"
    assert lines[-1].startswith("building x: done in ")
    assert len(lines) == 2
    assert "\r" not in stream.getvalue()
