"""What runs in a framework's environment: it has NumPy and onnx, and of ours `proof` and `errors`."""
