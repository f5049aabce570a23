"""Tensors as JSON, as binary data and as protobuf fields: codecs that know of no protocol."""
