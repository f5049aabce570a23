"""The spam example: read the data, train, evaluate, export to ONNX."""
