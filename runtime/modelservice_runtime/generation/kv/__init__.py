"""Keys and values of texts: the memory they get, which slot holds whose, where they lie; no model runs."""
