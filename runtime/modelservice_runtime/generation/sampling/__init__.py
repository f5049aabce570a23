"""The choice of the next token, for all rows of a step; NumPy alone, and no model or text lives here."""
