"""What an ONNX file and a session tell: wire format, files, signature, proofs; no import of ONNX Runtime."""
