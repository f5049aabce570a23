"""Calls of tools in a model's text: where they begin, what they name, and how a model is held to make one."""
