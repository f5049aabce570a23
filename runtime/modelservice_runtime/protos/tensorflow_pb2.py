# Generated from tensorflow.proto by `make generate`; do not edit.
from modelservice_runtime.protos.pool import add_file, enum_type, message_class

DESCRIPTOR = add_file(
    "tensorflow.proto",
    b'\n\x10tensorflow.proto\x12\ntensorflow"\x98\x01\n\x10TensorShapeProto\x122\n\x03dim\x18\x02 \x03(\x0b2 .tensorflow.TensorShapeProto.D'
    b'imR\x03dim\x12!\n\x0cunknown_rank\x18\x03 \x01(\x08R\x0bunknownRank\x1a-\n\x03Dim\x12\x12\n\x04size\x18\x01 \x01(\x03R\x04size\x12\x12\n\x04name\x18\x02 \x01(\tR\x04name"\xa6\x03\n\x0bTe'
    b'nsorProto\x12*\n\x05dtype\x18\x01 \x01(\x0e2\x14.tensorflow.DataTypeR\x05dtype\x12?\n\x0ctensor_shape\x18\x02 \x01(\x0b2\x1c.tensorflow.TensorS'
    b'hapeProtoR\x0btensorShape\x12%\n\x0etensor_content\x18\x04 \x01(\x0cR\rtensorContent\x12\x1b\n\tfloat_val\x18\x05 \x03(\x02R\x08floatVal\x12\x1d\n\ndo'
    b'uble_val\x18\x06 \x03(\x01R\tdoubleVal\x12\x17\n\x07int_val\x18\x07 \x03(\x05R\x06intVal\x12\x1d\n\nstring_val\x18\x08 \x03(\x0cR\tstringVal\x12\x1b\n\tint64_val\x18\n'
    b' \x03(\x03R\x08int64Val\x12\x19\n\x08bool_val\x18\x0b \x03(\x08R\x07boolVal\x12\x19\n\x08half_val\x18\r \x03(\x05R\x07halfVal\x12\x1d\n\nuint32_val\x18\x10 \x03(\rR\tuint32'
    b'Val\x12\x1d\n\nuint64_val\x18\x11 \x03(\x04R\tuint64Val"\x9b\x01\n\nTensorInfo\x12\x14\n\x04name\x18\x01 \x01(\tH\x00R\x04name\x12*\n\x05dtype\x18\x02 \x01(\x0e2\x14.tensorf'
    b'low.DataTypeR\x05dtype\x12?\n\x0ctensor_shape\x18\x03 \x01(\x0b2\x1c.tensorflow.TensorShapeProtoR\x0btensorShapeB\n\n\x08encoding'
    b'"\xd5\x02\n\x0cSignatureDef\x12<\n\x06inputs\x18\x01 \x03(\x0b2$.tensorflow.SignatureDef.InputsEntryR\x06inputs\x12?\n\x07outputs\x18\x02 \x03(\x0b'
    b'2%.tensorflow.SignatureDef.OutputsEntryR\x07outputs\x12\x1f\n\x0bmethod_name\x18\x03 \x01(\tR\nmethodName\x1aQ\n\x0bInputsEntry'
    b'\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12,\n\x05value\x18\x02 \x01(\x0b2\x16.tensorflow.TensorInfoR\x05value:\x028\x01\x1aR\n\x0cOutputsEntry\x12\x10\n\x03key\x18\x01 \x01('
    b'\tR\x03key\x12,\n\x05value\x18\x02 \x01(\x0b2\x16.tensorflow.TensorInfoR\x05value:\x028\x01"!\n\tBytesList\x12\x14\n\x05value\x18\x01 \x03(\x0cR\x05value"!\n\tF'
    b'loatList\x12\x14\n\x05value\x18\x01 \x03(\x02R\x05value"!\n\tInt64List\x12\x14\n\x05value\x18\x01 \x03(\x03R\x05value"\xb9\x01\n\x07Feature\x126\n\nbytes_list\x18\x01 \x01('
    b'\x0b2\x15.tensorflow.BytesListH\x00R\tbytesList\x126\n\nfloat_list\x18\x02 \x01(\x0b2\x15.tensorflow.FloatListH\x00R\tfloatList\x126\n'
    b'\nint64_list\x18\x03 \x01(\x0b2\x15.tensorflow.Int64ListH\x00R\tint64ListB\x06\n\x04kind"\x98\x01\n\x08Features\x12;\n\x07feature\x18\x01 \x03(\x0b2!.te'
    b'nsorflow.Features.FeatureEntryR\x07feature\x1aO\n\x0cFeatureEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12)\n\x05value\x18\x02 \x01(\x0b2\x13.tenso'
    b'rflow.FeatureR\x05value:\x028\x01";\n\x07Example\x120\n\x08features\x18\x01 \x01(\x0b2\x14.tensorflow.FeaturesR\x08features*\xe3\x01\n\x08DataTy'
    b'pe\x12\x0e\n\nDT_INVALID\x10\x00\x12\x0c\n\x08DT_FLOAT\x10\x01\x12\r\n\tDT_DOUBLE\x10\x02\x12\x0c\n\x08DT_INT32\x10\x03\x12\x0c\n\x08DT_UINT8\x10\x04\x12\x0c\n\x08DT_INT16\x10\x05\x12\x0b\n\x07DT_'
    b'INT8\x10\x06\x12\r\n\tDT_STRING\x10\x07\x12\x0c\n\x08DT_INT64\x10\t\x12\x0b\n\x07DT_BOOL\x10\n\x12\x0f\n\x0bDT_BFLOAT16\x10\x0e\x12\r\n\tDT_UINT16\x10\x11\x12\x0b\n\x07DT_HALF\x10\x13\x12\r\n'
    b'\tDT_UINT32\x10\x16\x12\r\n\tDT_UINT64\x10\x17b\x06proto3',
)

TensorShapeProto = message_class(DESCRIPTOR, "TensorShapeProto")
TensorProto = message_class(DESCRIPTOR, "TensorProto")
TensorInfo = message_class(DESCRIPTOR, "TensorInfo")
SignatureDef = message_class(DESCRIPTOR, "SignatureDef")
BytesList = message_class(DESCRIPTOR, "BytesList")
FloatList = message_class(DESCRIPTOR, "FloatList")
Int64List = message_class(DESCRIPTOR, "Int64List")
Feature = message_class(DESCRIPTOR, "Feature")
Features = message_class(DESCRIPTOR, "Features")
Example = message_class(DESCRIPTOR, "Example")
DataType = enum_type(DESCRIPTOR, "DataType")
DT_INVALID = 0
DT_FLOAT = 1
DT_DOUBLE = 2
DT_INT32 = 3
DT_UINT8 = 4
DT_INT16 = 5
DT_INT8 = 6
DT_STRING = 7
DT_INT64 = 9
DT_BOOL = 10
DT_BFLOAT16 = 14
DT_UINT16 = 17
DT_HALF = 19
DT_UINT32 = 22
DT_UINT64 = 23
