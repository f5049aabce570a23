"""What is known of the cluster: ModelServices that scale, and where their ready pods are.

Kept current by watches, in memory alone. Nothing is asked of pods or written here.
"""
