"""One activator process: start and end, probes, and what it tells the operator."""
