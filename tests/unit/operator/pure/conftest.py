"""Properties are checked without a time limit per example: the machine may be busy with other things."""

from hypothesis import settings

settings.register_profile("busy-machine", deadline=None)
settings.load_profile("busy-machine")
