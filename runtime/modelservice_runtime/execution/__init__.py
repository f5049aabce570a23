"""How requests share a model's runs, and what they teach; no protocols, nothing of ONNX Runtime."""
