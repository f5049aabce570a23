"""Python modules of our .proto files.

protoc's own modules would register in protobuf's default pool; these register in that of their package (its
`protos/pool.py`). Their types are protoc's, in a `.pyi` file beside each.
"""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

RUNTIME = Path("runtime/modelservice_runtime/protos")
AUTOSCALER = Path("operator/modelservice_autoscaler/protos")
_LINE = 96


def proto_modules(root: Path) -> dict[Path, str]:
    """Return each generated module and its types, by the path from `root`."""
    files: dict[Path, str] = {}
    for folder in (RUNTIME, AUTOSCALER):
        files |= _modules_of(root, folder)
    return files


def _modules_of(root: Path, folder: Path) -> dict[Path, str]:
    package = ".".join(folder.parts[1:])
    sources = sorted(path.name for path in (root / folder).glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        _run_protoc(root / folder, sources, Path(scratch))
        descriptors = FileDescriptorSet.FromString((Path(scratch) / "all.bin").read_bytes())
        files: dict[Path, str] = {}
        for file in descriptors.file:
            name = _module(file.name)
            files[folder / f"{name}.py"] = _module_text(file, package, set(sources))
            files[folder / f"{name}.pyi"] = _types_text(file.name, package, Path(scratch), set(sources))
    return files


def _run_protoc(folder: Path, sources: list[str], scratch: Path) -> None:
    well_known = str(resources.files("grpc_tools") / "_proto")
    arguments = [f"--proto_path={folder}", f"--proto_path={well_known}"]
    outputs = [f"--descriptor_set_out={scratch / 'all.bin'}", f"--pyi_out={scratch}"]
    if protoc.main(["protoc", *arguments, *outputs, *sources]) != 0:
        raise RuntimeError("protoc failed; its message is above")


def _module(proto: str) -> str:
    return proto.removesuffix(".proto") + "_pb2"


def _module_text(file: FileDescriptorProto, package: str, ours: set[str]) -> str:
    lines = [f"# Generated from {file.name} by `make generate`; do not edit."]
    imports = [_module(name) for name in file.dependency if name in ours]
    lines += [f"import {package}.{name}  # registers what this file imports" for name in imports]
    functions = "add_file, enum_type, message_class" if file.enum_type else "add_file, message_class"
    lines += [f"from {package}.pool import {functions}", "", "DESCRIPTOR = add_file("]
    lines += [f'    "{file.name}",']
    serialized = file.SerializeToString(deterministic=True)
    lines += [f"    {serialized[at : at + _LINE]!r}" for at in range(0, len(serialized), _LINE)]
    lines[-1] += ","
    lines += [")", ""]
    lines += [
        f'{message.name} = message_class(DESCRIPTOR, "{message.name}")' for message in file.message_type
    ]
    for enum in file.enum_type:
        lines += [f'{enum.name} = enum_type(DESCRIPTOR, "{enum.name}")']
        lines += [f"{value.name} = {value.number}" for value in enum.value]
    return "\n".join(lines) + "\n"


def _types_text(proto: str, package: str, scratch: Path, ours: set[str]) -> str:
    text = (scratch / f"{_module(proto)}.pyi").read_text(encoding="utf-8")
    for name in ours:
        module = _module(name)
        text = text.replace(f"import {module} as", f"from {package} import {module} as")
    return text
