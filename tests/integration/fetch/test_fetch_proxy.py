"""Downloads through a proxy that the environment names."""

from typing import Any

import pytest
from tests.integration.fetch.fetch_models import make_model
from tests.integration.fetch.fetch_proxies import Proxy
from tests.integration.fetch.fetch_stores import Store

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.http.addresses import AddressPolicy

DATA = b"\x08\x08" + bytes(range(256)) * 4000


async def test_fetch_https_goes_through_a_tunnel_and_checks_the_stores_certificate(
    fetcher: Any, https: Any, proxy: Proxy
) -> None:
    await fetcher.fetch(https.serve("/m.onnx", DATA), environment=proxy.environment())

    assert fetcher.files == {"model.onnx": DATA}
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{https.port} ")


async def test_fetch_s3_goes_through_a_tunnel_too(fetcher: Any, store: Store, proxy: Proxy) -> None:
    store.put("/models/proxied/m.onnx", DATA)
    credentials = fetcher.credentials(**store.keys)
    await fetcher.fetch(
        "s3://models/proxied/m.onnx", credentials_directory=credentials, environment=proxy.environment()
    )

    assert fetcher.files == {"model.onnx": DATA}
    assert proxy.heads[0].startswith("CONNECT ")


async def test_fetch_oci_goes_through_a_tunnel_too(
    fetcher: Any, registry: Any, tls_registry: Any, proxy: Proxy
) -> None:
    registry.push("models/proxied", "1", ("m.onnx", make_model()))
    uri = f"oci://{tls_registry.name}/models/proxied:1"
    await fetcher.fetch(uri, environment=proxy.environment())

    assert fetcher.files == {"model.onnx": make_model()}
    assert {head.split(" ")[1] for head in proxy.heads} == {tls_registry.name}


async def test_fetch_exception_goes_past_the_proxy(fetcher: Any, https: Any, proxy: Proxy) -> None:
    environment = {**proxy.environment(), "NO_PROXY": "127.0.0.0/8"}
    await fetcher.fetch(https.serve("/m.onnx", DATA), environment=environment)

    assert proxy.heads == []


async def test_fetch_s3_goes_through_a_tunnel_and_checks_the_stores_certificate(
    fetcher: Any, https: Any, proxy: Proxy
) -> None:
    https.serve("/models/m.onnx", DATA)
    credentials = fetcher.credentials(endpoint=https.url(""))
    environment = proxy.environment("me:hunter22@")
    await fetcher.fetch("s3://models/m.onnx", credentials_directory=credentials, environment=environment)

    assert fetcher.files == {"model.onnx": DATA}
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{https.port} ")
    assert "Proxy-Authorization: Basic" in proxy.heads[0]
    assert "Proxy-Authorization" not in https.requests[0].headers


async def test_fetch_s3_without_the_authority_is_refused_through_the_proxy_too(
    fetcher: Any, https: Any, proxy: Proxy
) -> None:
    credentials = fetcher.credentials(endpoint=https.url(""))
    (credentials / "ca.crt").unlink()
    error = await fetcher.fail(
        "s3://models/m.onnx", credentials_directory=credentials, environment=proxy.environment()
    )
    assert "certificate of 127.0.0.1 is not trusted" in error.message


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "HTTP 407 for store.example",
        ),
        (b"what?\r\n\r\n", "speaks no HTTP"),
        (b"", "speaks no HTTP"),
    ],
)
async def test_fetch_s3_proxy_that_leads_nowhere_says_so(
    fetcher: Any, proxy: Proxy, answer, sentence
) -> None:
    proxy.answer = answer or b" "
    credentials = fetcher.credentials(endpoint="https://store.example")
    error = await fetcher.fail(
        "s3://models/m.onnx", credentials_directory=credentials, environment=proxy.environment()
    )
    assert sentence in error.message


async def test_fetch_of_metadata_through_a_proxy_is_refused_before_it_is_asked(
    fetcher: Any, proxy: Proxy
) -> None:
    error = await fetcher.fail("https://169.254.169.254/m.onnx", environment=proxy.environment())

    assert error.reason == FetchReason.ADDRESS_FORBIDDEN
    assert proxy.heads == []


async def test_fetch_through_a_proxy_at_a_forbidden_address_is_refused(fetcher: Any, proxy: Proxy) -> None:
    error = await fetcher.fail(
        "https://store.example/m.onnx", environment=proxy.environment(), addresses=AddressPolicy()
    )

    assert error.reason == FetchReason.ADDRESS_FORBIDDEN
    assert "127.0.0.1 is a loopback address" in error.message
    assert proxy.heads == []


async def test_fetch_refused_by_the_proxy_says_so_without_its_password(fetcher: Any, proxy: Proxy) -> None:
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    environment = proxy.environment("me:hunter22@")
    error = await fetcher.fail("https://store.example/m.onnx", environment=environment)

    assert "the proxy answers HTTP 407 for store.example" in error.message
    assert "NO_PROXY" in error.message
    assert "hunter22" not in error.message
    assert "Proxy-Authorization: Basic" in proxy.heads[0]


async def test_fetch_where_the_proxy_is_gone_names_the_proxy(fetcher: Any) -> None:
    environment = {"https_proxy": "http://127.0.0.1:1"}
    error = await fetcher.fail("https://store.example/m.onnx", environment=environment)

    assert "cannot connect to the proxy 127.0.0.1" in error.message


async def test_fetch_variable_that_names_no_proxy_is_told(fetcher: Any, https: Any) -> None:
    error = await fetcher.fail(https.serve("/m.onnx", DATA), environment={"https_proxy": "socks5://x"})

    assert "HTTPS_PROXY is not the address of a proxy" in error.message
