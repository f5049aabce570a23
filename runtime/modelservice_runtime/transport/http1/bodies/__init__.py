"""How bodies of requests come into their memory, and large ones of answers leave it.

Whose turn it is, and who may send one, is decided above.
"""
