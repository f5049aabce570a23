"""Memory as the kernel and the allocator see it: limits, what is used, what is given back.

Who keeps to them while serving lives in `serving.memory_keeper`.
"""
