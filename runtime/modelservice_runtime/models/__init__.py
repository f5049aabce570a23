"""What is learned of a model before it is ready: made-up inputs, samples, decisions; no requests."""
