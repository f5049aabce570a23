"""Proves from a model's graph that its rows are independent; reads bytes only, runs nothing."""

from modelservice_runtime.onnx.rows.proof import RowProof, prove_rows

__all__ = ["RowProof", "prove_rows"]
