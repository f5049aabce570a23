"""The ModelService runtime: serves ONNX models in a container and fetches their files."""

import os

# Read by ONNX Runtime when it is imported. Otherwise 1.31 keeps a database of events below HOME
# and sends them to its maker. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Read by numpy's linear algebra when it is imported. Nothing here uses it, and it would start a thread for
# each core of the node, with stacks and buffers that count against the container's memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
