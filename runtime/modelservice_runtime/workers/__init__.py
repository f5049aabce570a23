"""``serve --workers N``: several processes behind the same ports.

``supervisor`` is the parent: it starts the workers, passes signals on, replaces those that die, and answers
on the metrics port for all of them. ``worker`` is a child: a server like any other, but for its ports, which
the kernel shares out, and for its ``link`` to the parent. The parent loads no model and never forks: workers
start from nothing, before ONNX Runtime has made a thread.
"""
