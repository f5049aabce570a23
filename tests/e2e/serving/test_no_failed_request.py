"""While clients ask without a pause, models change and pods go: no request fails."""

import http.client
import json
import threading

from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import READY_TIMEOUT_SECONDS, User
from tests.support.tiny_models import make_counter

NAME = "asked"


def test_model_change_and_scale_down_under_load_fail_no_request(user: User) -> None:
    user.apply(NAME, model=user.push_adder(1), replicas=2)
    user.wait_ready(NAME)
    with adder_load(user, NAME) as load:
        wait_until(lambda: load.count() > 50, "clients are answered")
        user.edit(NAME, {"model": user.push_adder(2)})
        user.wait_ready(NAME)
        user.run_kubectl("scale", "msvc", NAME, "--replicas=1")
        user.wait_ready(NAME)
        # The pod of the scale-down goes on draining after the status has counted it out.
        wait_until(lambda: len(user.items("pods", name=NAME)) == 1, "one pod is left")
        changed_at = load.count()
        wait_until(lambda: load.count() > changed_at + 50, "clients are answered by the last pod")
    assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"
    assert load.answers.keys() == {1.0, 2.0}
    user.wait_answer(NAME, 0, 2)


def test_deleted_pod_answers_the_request_it_works_on(user: User) -> None:
    """The request takes longer than everything that happens around it: SIGTERM waits for it."""
    user.apply("slow", model=user.push(make_counter(), "counter"), terminationGracePeriodSeconds=60)
    user.wait_ready("slow")
    (pod,) = user.pods("slow").values()
    answers: list[object] = []
    steps = 3_000_000
    client = threading.Thread(target=lambda: answers.append(count_to(user, steps)))
    client.start()
    wait_until(lambda: pending_requests(user, pod["status"]["podIP"]) == 1, "the server works on the request")
    user.cluster.api.delete(user.path("pods", pod["metadata"]["name"]))
    assert not answers, "the model was too quick to see the server drain"
    client.join(READY_TIMEOUT_SECONDS)
    assert answers == [steps]


def count_to(user: User, steps: int) -> object:
    connection = http.client.HTTPConnection(*user.address("slow"), timeout=READY_TIMEOUT_SECONDS)
    tensor = {"name": "values", "datatype": "INT64", "shape": [1], "data": [steps]}
    connection.request("POST", "/v2/models/slow/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return json.loads(body)["outputs"][0]["data"][0] if response.status == http.client.OK else body


def pending_requests(user: User, address: str) -> float:
    """The gauge of the pod's own metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", user.cluster.forward(address, 8082), timeout=120)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    samples = [line for line in text.splitlines() if line.startswith("nv_inference_pending_request_count")]
    return sum(float(line.rpartition(" ")[2]) for line in samples)
