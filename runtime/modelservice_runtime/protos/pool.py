"""Where the generated modules register: a pool of our own.

Clients of the same protocols register the same full names in protobuf's default pool, which refuses a second,
different definition. With a pool of our own the server and such a client can live in one process.
"""

from typing import Any

from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()

for _well_known in (any_pb2, wrappers_pb2):
    POOL.AddSerializedFile(_well_known.DESCRIPTOR.serialized_pb)


def add_file(name: str, serialized: bytes) -> FileDescriptor:
    """Register the FileDescriptorProto of `name`; what it imports must be registered already."""
    POOL.AddSerializedFile(serialized)
    return POOL.FindFileByName(name)


def message_class(file: FileDescriptor, name: str) -> Any:
    """The class of a message of `file`; the `.pyi` beside each generated module gives its type."""
    return GetMessageClass(file.message_types_by_name[name])


def enum_type(file: FileDescriptor, name: str) -> Any:
    """The names and numbers of an enum of `file`."""
    return EnumTypeWrapper(file.enum_types_by_name[name])
