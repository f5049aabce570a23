"""What fields are made of: the base of all models, rules that Python and CEL share, small types.

No field of ours is described here.
"""
