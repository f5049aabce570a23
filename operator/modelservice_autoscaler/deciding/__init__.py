"""How many pods a service shall have, from look to look: who is followed, what is decided, what is told.

The algorithm itself is below, and knows no services; who writes is below too.
"""
