"""Training on several machines of a cluster: a run as Kubernetes takes it; nothing is trained here."""
