# Generated from tensorflow_error.proto by `make generate`; do not edit.
from modelservice_runtime.protos.pool import add_file, enum_type, message_class

DESCRIPTOR = add_file(
    "tensorflow_error.proto",
    b'\n\x16tensorflow_error.proto\x12\x10tensorflow.error*x\n\x04Code\x12\x06\n\x02OK\x10\x00\x12\x0b\n\x07UNKNOWN\x10\x02\x12\x14\n\x10INVALID_ARGUMENT\x10\x03\x12\r\n'
    b'\tNOT_FOUND\x10\x05\x12\x17\n\x13FAILED_PRECONDITION\x10\t\x12\x0c\n\x08INTERNAL\x10\r\x12\x0f\n\x0bUNAVAILABLE\x10\x0eb\x06proto3',
)

Code = enum_type(DESCRIPTOR, "Code")
OK = 0
UNKNOWN = 2
INVALID_ARGUMENT = 3
NOT_FOUND = 5
FAILED_PRECONDITION = 9
INTERNAL = 13
UNAVAILABLE = 14
