"""The ModelService runtime: serves ONNX models in a container and fetches their files."""
