"""Other engines, each a program for an environment of its own: `python -m ...genai MODEL` prints JSON."""
