"""Where the generated module registers: a pool of our own, beside which a client of KEDA's can live."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()


def add_file(name: str, serialized: bytes) -> FileDescriptor:
    """Register the FileDescriptorProto of `name`."""
    POOL.AddSerializedFile(serialized)
    return POOL.FindFileByName(name)


def message_class(file: FileDescriptor, name: str) -> Any:
    """The class of a message of `file`; the `.pyi` beside the generated module gives its type."""
    return GetMessageClass(file.message_types_by_name[name])
