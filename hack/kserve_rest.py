"""Asks a server of `hack.local_server` with KServe's InferenceRESTClient, unmodified: `make kserve`.

Runs in an environment of its own, since the kserve package brings a web server and its versions of much else.
"""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

MODEL = "classifier"
ROWS = np.array([[1, 2, 3], [0, 0, 1]], np.float32)


async def main(url: str) -> None:
    """Raise AssertionError where the client does not get what it should."""
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await v2.is_server_live(url)
    assert await v2.is_server_ready(url)
    assert await v2.is_model_ready(url, MODEL)
    scores = [await infer(v2, url, binary=binary) for binary in (False, True)]
    np.testing.assert_array_equal(scores[0], scores[1])

    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    answer = await v1.infer(url, {"instances": ROWS.tolist()}, model_name=MODEL)
    np.testing.assert_allclose(answer["predictions"], scores[0], rtol=1e-6)
    await expect_refusal(v2, url)
    print(f"ok: KServe's REST client got {scores[0].tolist()}")


async def infer(client: InferenceRESTClient, url: str, *, binary: bool) -> np.ndarray:
    """The scores of ROWS, with the tensors inside the JSON or behind it."""
    tensor = InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    request = InferRequest(MODEL, [tensor], request_id="7", parameters={"binary_data_output": binary})
    response = await client.infer(url, request, model_name=MODEL)
    assert (response.id, response.model_name) == ("7", MODEL)
    (output,) = response.outputs
    assert (output.name, output.datatype, output.shape) == ("scores", "FP32", [2, 2])
    array: np.ndarray = output.as_numpy()
    return array


async def expect_refusal(client: InferenceRESTClient, url: str) -> None:
    """A wrong request is an error with the server's own sentence."""
    tensor = InferInput("x", [1, 2], "FP32", data=[1.0, 2.0])
    try:
        await client.infer(url, InferRequest(MODEL, [tensor]), model_name=MODEL)
    except httpx.HTTPStatusError as error:
        if "the model expects [-1, 3]" in str(error):
            return
        raise
    raise SystemExit("a wrong shape was accepted")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
