"""A model of a framework as an ONNX file that answers the same; the framework runs elsewhere, never here."""
