"""Smaller and faster files of one model, measured in our server and judged on data; no format but ONNX."""
