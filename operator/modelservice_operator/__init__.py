"""The ModelService operator: reconciles ModelService objects into Kubernetes workloads."""
