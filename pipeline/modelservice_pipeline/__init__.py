"""The way of a model to production: evaluate, convert, prove, compress, package, deploy, explain.

Each step is a command of `modelservice model` and usable alone. Nothing here serves requests or writes
children of a ModelService.
"""
