"""Pure rollout decisions: how many pods each revision gets next."""
