"""Texts to tokens and back, by a model's own files: tokenizer, stop strings, chat templates, tools."""
