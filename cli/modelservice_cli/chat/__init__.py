"""`modelservice chat`: a conversation with a model that generates text, in the terminal."""
