"""An ONNX file as this process runs it: the one room that imports ONNX Runtime; no server, no data sets."""
