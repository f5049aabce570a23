"""Room for pods and time for them: limits, what is known about places in the cluster, deadlines.

Pure; how many pods each revision gets is decided in `decide.rollout.pods`.
"""
