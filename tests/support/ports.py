"""Port numbers for servers that are told theirs before they listen."""

from __future__ import annotations

import itertools
import secrets
import socket

# Below those that the kernel gives to connections and to servers that let it choose (ip_local_port_range),
# which happens all the time beside a test: such a number may be somebody's before its server has begun.
_NUMBERS = range(11_000, 20_000)
# Processes begin at different places, and none tries a number again soon.
_next_numbers = itertools.islice(itertools.cycle(_NUMBERS), secrets.randbelow(len(_NUMBERS)), None)


def free_port() -> int:
    """A port on loopback that nobody listens on now, and that nobody will be given by chance."""
    for number in itertools.islice(_next_numbers, len(_NUMBERS)):
        with socket.socket() as server:
            try:
                server.bind(("127.0.0.1", number))
            except OSError:
                continue
        return number
    raise AssertionError(f"every port of {_NUMBERS} is taken")
