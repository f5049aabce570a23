"""The names of Services for the pods of the test cluster, which has no DNS server of its own.

`python -m tests.support.cluster_dns ADDRESS NAME=IP ...` answers on UDP port 53: NAME, and NAME within
`cluster.local`, have this address of IPv4 and none of IPv6; there are no other names.
"""

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hack.cluster.cluster import Cluster
from hack.cluster.netns import NODE_ADDRESS, namespace_name

_ADDRESS_OF_IPV4 = 1
_NO_SUCH_NAME = 3


@contextmanager
def names_of(cluster: Cluster, addresses: Mapping[str, str]) -> Iterator[None]:
    """Give the pods of a cluster these names, such as `spam.mail.svc`."""
    inside = ("ip", "netns", "exec", namespace_name(cluster.name))
    pairs = [f"{name}={address}" for name, address in addresses.items()]
    command = [*inside, sys.executable, "-m", "tests.support.cluster_dns", NODE_ADDRESS, *pairs]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def answer(question: bytes, addresses: Mapping[str, str]) -> bytes:
    """Return the answer to one question (RFC 1035, 4.1)."""
    name, end = _read_name(question, 12)
    (kind,) = struct.unpack_from(">H", question, end)
    asked = question[12 : end + 4]
    address = addresses.get(name.removesuffix(".cluster.local"))
    if address is None:
        return question[:2] + struct.pack(">HHHHH", 0x8580 | _NO_SUCH_NAME, 1, 0, 0, 0) + asked
    if kind != _ADDRESS_OF_IPV4:
        return question[:2] + struct.pack(">HHHHH", 0x8580, 1, 0, 0, 0) + asked
    record = struct.pack(">HHHIH", 0xC00C, _ADDRESS_OF_IPV4, 1, 5, 4) + socket.inet_aton(address)
    return question[:2] + struct.pack(">HHHHH", 0x8580, 1, 1, 0, 0) + asked + record


def _read_name(message: bytes, position: int) -> tuple[str, int]:
    labels = []
    while length := message[position]:
        labels.append(message[position + 1 : position + 1 + length].decode("ascii").lower())
        position += 1 + length
    return ".".join(labels), position + 1


def main() -> None:
    host, *pairs = sys.argv[1:]
    addresses = dict(pair.split("=") for pair in pairs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 53))
        print("ready", flush=True)
        while True:
            question, client = server.recvfrom(512)
            server.sendto(answer(question, addresses), client)


if __name__ == "__main__":
    main()
