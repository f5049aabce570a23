"""What the REST side of every protocol shares: front ends, paths, answers, times, bodies that are large."""
