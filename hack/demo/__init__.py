"""The demo: from nothing to a prediction on a real Kubernetes. Run it with `make demo`."""
