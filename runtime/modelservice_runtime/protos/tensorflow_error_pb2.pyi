from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OK: _ClassVar[Code]
    UNKNOWN: _ClassVar[Code]
    INVALID_ARGUMENT: _ClassVar[Code]
    NOT_FOUND: _ClassVar[Code]
    FAILED_PRECONDITION: _ClassVar[Code]
    INTERNAL: _ClassVar[Code]
    UNAVAILABLE: _ClassVar[Code]
OK: Code
UNKNOWN: Code
INVALID_ARGUMENT: Code
NOT_FOUND: Code
FAILED_PRECONDITION: Code
INTERNAL: Code
UNAVAILABLE: Code
