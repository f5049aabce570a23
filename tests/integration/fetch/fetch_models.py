"""Real models with weights in files of their own, and archives of files."""

import gzip
import io
import tarfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.arange(4096, dtype=np.float32).tobytes()


def make_model(location: str | None = None) -> bytes:
    """A model that adds weights: they are in the file `location`, whose content is WEIGHTS, or within."""
    weights = numpy_helper.from_array(np.frombuffer(WEIGHTS, dtype=np.float32), "w")
    if location is not None:
        onnx.external_data_helper.set_external_data(weights, location, length=len(WEIGHTS))
        weights.ClearField("raw_data")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4096])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4096])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(graph).SerializeToString()


def make_encoder() -> bytes:
    """A model that takes the tokens of texts."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "s"])
        for name in ("input_ids", "attention_mask")
    ]
    y = helper.make_tensor_value_info("sentence_embedding", TensorProto.INT64, ["n", "s"])
    node = helper.make_node("Add", ["input_ids", "attention_mask"], ["sentence_embedding"])
    return helper.make_model(helper.make_graph([node], "g", inputs, [y])).SerializeToString()


def make_tar(files: dict[str, bytes], compression: str = "") -> bytes:
    """An archive of files in the given order; `compression` is nothing or `gz`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), mtime=0) if compression else stream.getvalue()
