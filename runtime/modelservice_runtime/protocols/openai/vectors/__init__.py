"""Embeddings and rankings of texts, by models of tensors whose graphs read texts themselves."""
