"""Which requests go through a proxy."""

import pytest
from yarl import URL

from modelservice_runtime.fetch.errors import FetchError
from modelservice_runtime.fetch.http.proxies import Proxies, read_proxies

PROXY = "http://proxy.example:3128"


def find(url: str, **environment: str) -> str | None:
    proxy = read_proxies({"HTTPS_PROXY": PROXY, **environment}).find(URL(url))
    return None if proxy is None else str(proxy)


def test_find_is_by_scheme_and_small_letters_win():
    assert find("https://h.example/m") == PROXY
    assert find("http://h.example/m") is None
    assert find("http://h.example/m", http_proxy="other:81") == "http://other:81"
    assert find("https://h.example/m", https_proxy="http://small:1") == "http://small:1"
    assert find("https://h.example/m", https_proxy="") == PROXY


def test_find_without_variables_is_direct():
    assert read_proxies({"PATH": "/bin"}) == Proxies()


@pytest.mark.parametrize(
    ("exceptions", "host", "is_direct"),
    [
        ("h.example", "h.example", True),
        ("h.example", "store.h.example", True),
        ("h.example", "other-h.example", False),
        (".h.example", "h.example", True),
        ("*.h.example", "store.h.example", True),
        ("H.Example", "h.example", True),
        ("a.example, h.example", "h.example", True),
        ("a.example h.example", "h.example", True),
        (".svc,.cluster.local", "minio.store.svc", True),
        ("*", "h.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "h.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]", True),
        ("h.example:443", "h.example", True),
        ("h.example:8443", "h.example", False),
        ("[fd00::1]:443", "[fd00::1]", True),
        ("not/a/network", "h.example", False),
        ("", "h.example", False),
        (",", "h.example", False),
        (".", "h.example", False),
    ],
)
def test_find_exceptions_are_asked_directly(exceptions, host, is_direct):
    assert (find(f"https://{host}/m", NO_PROXY=exceptions) is None) == is_direct


@pytest.mark.parametrize("text", ["socks5://proxy:1080", "http://", "://", "http://[::1"])
def test_read_proxies_other_address_is_refused_by_the_variables_name(text):
    with pytest.raises(FetchError, match="HTTPS_PROXY is not the address of a proxy"):
        read_proxies({"https_proxy": text})


def test_read_proxies_password_is_a_secret():
    assert read_proxies({"http_proxy": "http://me:hunter2@proxy:1"}).secrets == ("hunter2",)
