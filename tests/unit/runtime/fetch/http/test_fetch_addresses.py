import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.http.addresses import AddressPolicy, find_refusal

DEFAULT = AddressPolicy()


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "2606:2800:21f::1", "fd00::1"],
)
def test_find_refusal_public_and_private_are_allowed_by_default(address):
    assert find_refusal(DEFAULT, address, 443) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "100.100.100.200",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_find_refusal_special_address_is_refused_in_every_notation(address):
    assert find_refusal(DEFAULT, address, 443) is not None


def test_find_refusal_api_server_is_refused_on_its_port_only():
    policy = AddressPolicy(forbidden_endpoints=frozenset({("10.96.0.1", 443)}))
    assert "API server" in (find_refusal(policy, "10.96.0.1", 443) or "")
    assert "API server" in (find_refusal(policy, "::ffff:10.96.0.1", 443) or "")
    assert find_refusal(policy, "10.96.0.1", 5000) is None
    assert find_refusal(policy, "10.96.0.2", 443) is None


def test_find_refusal_private_addresses_denied_refuses_them():
    policy = AddressPolicy(allow_private=False)
    for address in ("10.0.0.1", "100.64.0.1", "fd00::1", "::ffff:192.168.0.1", "64:ff9b::10.0.0.1"):
        assert find_refusal(policy, address, 443) is not None
    assert find_refusal(policy, "93.184.215.14", 443) is None


def test_find_refusal_public_addresses_denied_leaves_private_ones():
    policy = AddressPolicy(allow_public=False, allow_loopback=True)
    assert find_refusal(policy, "93.184.215.14", 80) is not None
    assert find_refusal(policy, "10.0.0.1", 80) is None
    assert find_refusal(policy, "127.0.0.1", 80) is None


def test_find_refusal_loopback_allowed_leaves_link_local_refused():
    policy = AddressPolicy(allow_loopback=True)
    assert find_refusal(policy, "127.0.0.1", 80) is None
    assert find_refusal(policy, "::1", 80) is None
    assert find_refusal(policy, "169.254.169.254", 80) is not None


@given(st.integers(0, 2**32 - 1), st.sampled_from(["::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "2002::"]))
def test_find_refusal_ipv6_form_is_never_laxer_than_the_ipv4_address(number, prefix):
    address = ipaddress.IPv4Address(number)
    shift = 80 if prefix == "2002::" else 0
    wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number << shift)
    if find_refusal(DEFAULT, str(address), 443) is not None:
        assert find_refusal(DEFAULT, str(wrapped), 443) is not None
