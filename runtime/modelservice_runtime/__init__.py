"""The ModelService runtime: serves ONNX models in a container and fetches their files."""

import os

# Read by ONNX Runtime when it is imported. Otherwise 1.31 keeps a database of events below HOME
# and sends them to its maker. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
