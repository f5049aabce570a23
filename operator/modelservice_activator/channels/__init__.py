"""TCP connections with bounded memory on both ways, and who has left them.

What their bytes mean lives in `relaying`.
"""
