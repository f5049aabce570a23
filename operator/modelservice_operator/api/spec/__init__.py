"""The parts of a ModelService's spec, a module each.

The objects that they are put together to stand beside this folder.
"""
