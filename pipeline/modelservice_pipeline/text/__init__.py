"""Builds ONNX graphs that take and answer texts, from stock operators; nothing here runs a model."""
