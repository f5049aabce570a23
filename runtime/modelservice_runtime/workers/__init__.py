"""Between the processes of `serve --workers N`: the line, its messages, the shared port, counters summed.

The parent (`supervisor`) and the child's process live in `serving`. The parent loads no model and never
forks: workers start from nothing, before ONNX Runtime has made a thread.
"""
