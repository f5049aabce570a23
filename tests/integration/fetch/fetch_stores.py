"""A real S3 store on loopback, versitygw on a directory, and what is put into it."""

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hack.cluster.binaries import find_programs
from tests.integration.fetch.fetch_servers import TlsFiles, run_server
from tests.support.ports import free_port

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"


@dataclass(frozen=True)
class Store:
    """A running store with the bucket `models`."""

    scheme: str
    port: int
    authority: Path

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def keys(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def put(self, path: str, data: bytes = b"", query: str = "") -> None:
        """A signed PUT: an object, a bucket or a bucket's policy."""
        request = AWSRequest("PUT", f"{self.endpoint}{path}{query}", data=data)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
        if self.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=120, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("PUT", path + query, data, dict(request.headers.items()))
            response = connection.getresponse()
            text = response.read()
            assert response.status in (200, 204), text
        finally:
            connection.close()


def run_store(directory: Path, tls: TlsFiles, scheme: str) -> Iterator[Store]:
    program = str(find_programs(["versitygw"])["versitygw"])
    port = free_port()
    (directory / "root").mkdir()
    command = [
        program,
        "--access",
        ACCESS_KEY,
        "--secret",
        SECRET_KEY,
        "--port",
        f"127.0.0.1:{port}",
        "--quiet",
    ]
    if scheme == "https":
        command += ["--cert", str(tls.certificate), "--key", str(tls.key)]
    command += ["posix", "--sidecar", str(directory / "metadata"), str(directory / "root")]
    (directory / "metadata").mkdir()
    for _ in run_server(command, port, directory / "log"):
        store = Store(scheme, port, tls.authority)
        store.put("/models")
        yield store
