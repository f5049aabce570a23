"""Who leads clients, the pods of a service or the activator, and when one takes over from the other.

Pure; the activator itself is a package of its own, and how many pods run is decided in `decide.rollout`.
"""
