"""Which routes a ModelService wants, and what those that exist say. Pure; the planner sets their weights."""
