"""How many replicas signals ask for: the published algorithm of Kubernetes' HPA, and a burst window.

Pure: no I/O, no clock, no log. Who asks the pods, and what is written where, is not decided here.
"""
