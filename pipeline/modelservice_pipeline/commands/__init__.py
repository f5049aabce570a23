"""The commands of `modelservice model`: their arguments, and what they call; no step itself is done here."""
