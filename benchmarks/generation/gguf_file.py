"""The package's GGUF in another precision: `python -m benchmarks.generation.gguf_file FROM Q8_0 TO`."""

import sys

from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants


def main(source: str, kind: str, target: str) -> None:
    wanted = GGMLQuantizationType[kind]
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        # The writer counts itself, and the kind of the file is another one now.
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            items = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], items)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        values = values.reshape([int(size) for size in reversed(tensor.shape)])
        # Norms are of one dimension, and stay as they are in every file of llama.cpp's.
        own = wanted if values.ndim > 1 else GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, quants.quantize(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:])
