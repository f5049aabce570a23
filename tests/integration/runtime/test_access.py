"""A real server that was told by the operator's own arguments whom to let in, and its audit log.

Its files lie as a kubelet lays them out: behind a symbolic link, which is swapped when one of them changes.
"""

import http.client
import json
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS, AUDIENCE, ISSUER, jwks, sign
from tests.unit.runtime.certificates import Authority, Pair, client_context
from tests.unit.runtime.server_process import ServerProcess, run_to_the_end, server_process

from modelservice_operator.api import AuthSpec, ModelServiceSpec, TlsSpec
from modelservice_operator.decide.resources.pod.access import access_args
from modelservice_operator.facts import access_files
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.protos import inference_pb2 as pb

KEY, NEW_KEY = new_api_key(), new_api_key()
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4.0625]}]}
).encode()
AUTH = {
    "apiKeys": {"secretName": "keys"},
    "jwt": {"issuer": ISSUER, "audience": AUDIENCE, "jwksSecretName": "issuer", "scopes": ["read", "infer"]},
}
TLS = {"secretName": "certificate", "clientCASecretName": "authorities"}
INFER = "/inference.GRPCInferenceService/ModelInfer"
PATIENCE_SECONDS = 120


def spec_of(**fields: Any) -> ModelServiceSpec:
    auth, tls = fields.get("auth"), fields.get("tls")
    base: dict[str, Any] = {"model": {"storageUri": "oci://registry.example/m:1"}}
    return ModelServiceSpec(
        **base,
        auth=AuthSpec.model_validate(auth) if auth else None,
        tls=TlsSpec.model_validate(tls) if tls else None,
    )


@dataclass
class Volume:
    """A projected volume as a kubelet keeps it (k8s.io/kubernetes, `pkg/volume/util/atomic_writer.go`)."""

    directory: Path
    generation: int = 0

    def publish(self, files: Mapping[str, bytes]) -> None:
        self.generation += 1
        generation = self.directory / f"..{self.generation}"
        generation.mkdir()
        for name, content in files.items():
            (generation / name).write_bytes(content)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        (self.directory / "..data_tmp").symlink_to(generation.name)
        (self.directory / "..data_tmp").rename(self.directory / "..data")


@dataclass
class Parties:
    """Whose certificates and keys there are."""

    authority: Authority
    server: Pair
    client: Pair

    @classmethod
    def make(cls, name: str) -> "Parties":
        authority = Authority(name)
        return cls(authority, authority.issue(f"server of {name}"), authority.issue(f"client of {name}"))

    def files(self, keys: str, key_set: bytes = ALL_KEYS) -> dict[str, bytes]:
        return {
            access_files.API_KEYS: keys.encode(),
            access_files.JWKS: key_set,
            access_files.CERTIFICATE: self.server.certificate,
            access_files.PRIVATE_KEY: self.server.key,
            access_files.CLIENT_CA: self.authority.certificate,
        }

    def context(self, directory: Path, *, with_certificate: bool = True) -> ssl.SSLContext:
        context = client_context(self.authority)
        if with_certificate:
            context.load_cert_chain(*self.client.write(directory, "client"))
        return context


OURS, OTHERS = Parties.make("ours"), Parties.make("others")


@contextmanager
def serving(
    volume: Volume, model: Path, *more: str, spec: ModelServiceSpec | None = None
) -> Iterator[tuple[ServerProcess, Callable[[], list[dict[str, Any]]]]]:
    """A server, and what its audit log says so far."""
    args = access_args(spec or spec_of(auth=AUTH, tls=TLS))
    args = [arg.replace(access_files.DIRECTORY, str(volume.directory)) for arg in args]
    log = volume.directory.parent / "output"
    flags = ["--model", f"mlp={model}", "--model-version", "3", "--drain-delay-seconds", "0"]
    with (
        log.open("wb") as output,
        server_process(*flags, "--audit-log", "all", *args, *more, output=output) as server,
    ):
        server.wait_for("ready")
        yield server, lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    directory = tmp_path / "access"
    directory.mkdir()
    return Volume(directory)


def ask(
    server: ServerProcess, context: ssl.SSLContext, headers: Mapping[str, str], path: str = ""
) -> tuple[int, str]:
    """The status of an inference, and whose certificate the server showed."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.http_port, timeout=120, context=context)
    try:
        connection.connect()
        shown: Any = connection.sock.getpeercert()
        name = dict(pair for parts in shown["subject"] for pair in parts)["commonName"]
        connection.request("POST", path or "/v2/models/mlp/infer", BODY, dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status, name
    finally:
        connection.close()


def call(server: ServerProcess, parties: Parties, metadata: Mapping[str, str]) -> grpc.StatusCode:
    credentials = grpc.ssl_channel_credentials(
        parties.authority.certificate, parties.client.key, parties.client.certificate
    )
    request = pb.ModelInferRequest(model_name="mlp")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(b"\0" * 16)
    with grpc.secure_channel(f"127.0.0.1:{server.grpc_port}", credentials) as channel:
        future = channel.unary_unary(INFER).future(
            request.SerializeToString(), metadata=[*metadata.items()], timeout=120
        )
        return future.code()


def metric(server: ServerProcess, file: str) -> float | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=120) as response:
        lines = response.read().decode().splitlines()
    name = f'modelservice_file_refused{{file="{file}"}} '
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), None)


def eventually(check: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < until
        time.sleep(0.02)


def digests_are_known(server: ServerProcess) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/report", timeout=120) as response:
        return bool(json.load(response)["digestsComplete"])


def test_audit_log_tells_who_asked_for_what_over_both_protocols(
    volume: Volume, model_files: dict[str, Path], tmp_path: Path
) -> None:
    volume.publish(OURS.files(api_key_line("alice", KEY)))
    token = sign(sub="bob", scope="infer read").decode()
    narrow = sign(sub="eve", scope="read").decode()
    with serving(volume, model_files["mlp"]) as (server, lines):
        eventually(lambda: digests_are_known(server))
        context, bare = OURS.context(tmp_path), OURS.context(tmp_path, with_certificate=False)
        forged = 'r1"}\\n{"audit":"allowed'
        statuses = [
            ask(server, context, {"X-Api-Key": KEY, "X-Request-Id": forged})[0],
            ask(server, context, {"Authorization": f"Bearer {token}"}, "/v1/models/mlp/versions/3:predict")[
                0
            ],
            ask(server, context, {"Authorization": f"Bearer {narrow}"})[0],
            ask(server, context, {"X-Api-Key": "ms_guessed"})[0],
            ask(server, bare, {"X-Api-Key": KEY})[0],
            ask(server, context, {"X-Api-Key": KEY}, "/v2/models/absent/infer")[0],
        ]
        codes = [call(server, OURS, {"x-api-key": KEY}), call(server, OURS, {"x-api-key": "ms_guessed"})]
        probe = http.client.HTTPSConnection("127.0.0.1", server.http_port, timeout=120, context=bare)
        probe.request("GET", "/v2/health/ready")
        assert probe.getresponse().status == 200
        probe.close()
        eventually(lambda: len(lines()) >= len(statuses) + len(codes))
        assert server.end() == 0

    assert statuses == [200, 400, 403, 401, 401, 404]
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED]
    told = lines()
    assert [(one["audit"], one["protocol"], one["status"], one.get("model")) for one in told] == [
        ("allowed", "http", 200, "mlp"),
        ("allowed", "http", 400, "mlp"),
        ("denied", "http", 403, "mlp"),
        ("denied", "http", 401, "mlp"),
        ("denied", "http", 401, "mlp"),
        ("allowed", "http", 404, "absent"),
        ("allowed", "grpc", "OK", "mlp"),
        ("denied", "grpc", "UNAUTHENTICATED", None),
    ]
    digest = sha256(model_files["mlp"].read_bytes()).hexdigest()
    assert {(one["version"], one["sha256"]) for one in told if one["status"] in (200, 400, "OK")} == {
        ("3", digest)
    }
    assert "sha256" not in told[5]
    callers = [(one.get("api_key"), one.get("token_subject"), one.get("certificate_subject")) for one in told]
    client = "CN=client of ours"
    assert callers == [
        ("alice", None, client),
        (None, "bob", client),
        (None, None, client),
        (None, None, client),
        (None, None, None),
        ("alice", None, client),
        ("alice", None, client),
        (None, None, client),
    ]
    assert told[0]["request_id"] == forged
    assert told[2]["reason"] == "the token lacks the scope 'infer'"
    assert told[4]["reason"] == "this server needs a client certificate"
    assert {one["address"] for one in told} == {"127.0.0.1"}
    everything = json.dumps(told)
    assert not any(secret in everything for secret in (KEY, "ms_guessed", token, narrow, "4.0625"))


def test_everything_that_is_mounted_is_exchanged_under_a_running_server(
    volume: Volume, model_files: dict[str, Path], tmp_path: Path
) -> None:
    volume.publish(OURS.files(api_key_line("alice", KEY)))
    headers = {"Authorization": f"Bearer {sign(scope='read infer').decode()}"}
    with serving(volume, model_files["mlp"]) as (server, _):
        ours, others = OURS.context(tmp_path), OTHERS.context(tmp_path)
        assert ask(server, ours, {"X-Api-Key": KEY}) == (200, "server of ours")
        assert ask(server, ours, headers)[0] == 200
        with pytest.raises(ssl.SSLError):
            ask(server, others, {"X-Api-Key": KEY})

        volume.publish(OTHERS.files(api_key_line("alice", NEW_KEY), jwks()))
        server.wait_for("a file changed and was loaded again")  # the keys
        server.wait_for("a file changed: nothing of it is accepted")  # the key set
        server.wait_for("a file changed and was loaded again")  # the certificates

        assert ask(server, others, {"X-Api-Key": NEW_KEY}) == (200, "server of others")
        assert ask(server, others, {"X-Api-Key": KEY})[0] == 401
        assert ask(server, others, headers)[0] == 401
        with pytest.raises(ssl.SSLError):
            ask(server, ours, {"X-Api-Key": NEW_KEY})
        assert [metric(server, file) for file in ("api-keys", "jwks", "tls")] == [0, 0, 0]

        broken = {**OTHERS.files("no key file"), access_files.PRIVATE_KEY: OURS.server.key}
        volume.publish(broken)
        eventually(lambda: metric(server, "tls") == metric(server, "api-keys") == 1)
        assert metric(server, "jwks") == 0
        for _ in ("api-keys", "tls"):
            server.wait_for("a file changed and cannot be used; the old one stays")
        assert ask(server, others, {"X-Api-Key": NEW_KEY}) == (200, "server of others")
        assert server.end() == 0
    refused = [one["error"] for one in server.records if one["level"] == "error"]
    assert any("--tls-key: the private key is not that of the certificate" in error for error in refused)
    assert NEW_KEY not in json.dumps(server.records)


def test_workers_tell_of_a_file_that_they_cannot_use(volume: Volume, model_files: dict[str, Path]) -> None:
    volume.publish({access_files.API_KEYS: api_key_line("alice", KEY).encode()})
    keys = spec_of(auth={"apiKeys": AUTH["apiKeys"]})
    with serving(volume, model_files["mlp"], "--workers", "2", spec=keys) as (server, lines):
        for header, status in ((KEY, 200), (NEW_KEY, 401)):
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.http_port}/v2/models/mlp/infer", BODY, {"X-Api-Key": header}
            )
            assert urllib.request.OpenerDirector.open(opener(), request).status == status
        # Each worker writes its own lines: of two, either may come first.
        eventually(lambda: sorted(one["status"] for one in lines()) == [200, 401])

        volume.publish({access_files.API_KEYS: b"no key file"})
        eventually(lambda: metric(server, "api-keys") == 1)
        volume.publish({access_files.API_KEYS: api_key_line("alice", NEW_KEY).encode()})
        eventually(lambda: metric(server, "api-keys") == 0)
        assert server.end() == 0


def opener() -> urllib.request.OpenerDirector:
    """Takes every status for an answer."""
    made = urllib.request.OpenerDirector()
    made.add_handler(urllib.request.HTTPHandler())
    return made


def test_start_with_a_key_set_without_keys_ends_with_a_sentence(
    volume: Volume, model_files: dict[str, Path]
) -> None:
    volume.publish({access_files.JWKS: json.dumps({"keys": []}).encode()})
    spec = spec_of(auth={"jwt": AUTH["jwt"]})
    args = [arg.replace(access_files.DIRECTORY, str(volume.directory)) for arg in access_args(spec)]

    code, said = run_to_the_end("--model", f"mlp={model_files['mlp']}", *args)

    assert code == 1
    assert said.splitlines()[-1].startswith("InvalidSettings: --jwt-jwks-file holds no public key")
