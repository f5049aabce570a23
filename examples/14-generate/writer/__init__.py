"""The generate example: a small language model, its training, and the graph that draws texts from it."""
