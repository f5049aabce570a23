"""The Go stub of the Open Inference Protocol, for the example of a client in Go.

It is committed, so that the example builds with `go` alone. The generators are the `tool`s of the example's
go.mod, built from its go.sum; protoc is grpcio-tools'.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from grpc_tools import protoc
from hack.cluster.binaries import go_environment
from hack.generate.protos import RUNTIME

EXAMPLE = Path("examples/02-go-client")
_MODULE = "modelservice.dev/examples/go-client"
_PROTO = "inference.proto"
_GENERATORS = ("go", "go-grpc")


def go_stub(root: Path) -> dict[Path, str]:
    """Return each file of the stub by its path from `root`.

    Raises ClusterError where Go is missing, CalledProcessError where the generators do not build.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _build_generators(root / EXAMPLE, Path(scratch))
        output = Path(scratch) / "output"
        output.mkdir()
        _run_protoc(root / RUNTIME, Path(scratch), output)
        files = sorted(output.rglob("*.go"))
        return {EXAMPLE / file.relative_to(output): file.read_text(encoding="utf-8") for file in files}


def _build_generators(example: Path, scratch: Path) -> None:
    command = ["go", "build", "-o", f"{scratch}/", "tool"]  # "tool" is the pattern for what go.mod names
    subprocess.run(command, cwd=example, env=go_environment(), check=True)


def _run_protoc(folder: Path, generators: Path, output: Path) -> None:
    arguments = [f"--proto_path={folder}"]
    for name in _GENERATORS:
        arguments += [
            f"--plugin=protoc-gen-{name}={generators / f'protoc-gen-{name}'}",
            f"--{name}_out={output}",
        ]
        # The .proto file says nothing of Go; this gives its package.
        arguments += [f"--{name}_opt=module={_MODULE}", f"--{name}_opt=M{_PROTO}={_MODULE}/inference"]
    if protoc.main(["protoc", *arguments, _PROTO]) != 0:
        raise RuntimeError("protoc failed; its message is above")
