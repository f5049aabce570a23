"""What the Job runs that evaluates a new revision in the cluster: two models, rows, a score; no commands."""
