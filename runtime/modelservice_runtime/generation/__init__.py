"""Text generation: what decodes tokens, shares its rows and turns them into text; no protocol lives here."""
