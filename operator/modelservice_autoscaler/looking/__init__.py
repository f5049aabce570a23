"""How busy pods are: each ready pod is asked, a silent one is missing data.

What follows from the answers is decided elsewhere.
"""
