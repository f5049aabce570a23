"""The pod of a revision: `template` puts together what the other modules say of one concern each.

The objects around the pod stand beside this folder.
"""
