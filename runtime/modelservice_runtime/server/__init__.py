"""The HTTP front end: connection (bytes), routes (paths), codecs (tensors); ONNX Runtime is unknown here."""
