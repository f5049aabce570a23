"""What an ONNX file itself tells: its wire format and proofs about its graph; nothing here runs a model."""
