"""What is said of nodes is true of these nodes, for pods as they are built and clusters of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.builders import make_model_service
from tests.unit.operator.explain.placement.scheduler import fits

from modelservice_operator.api import parse_model_service
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template
from modelservice_operator.decide.revision import RecordedRuntime
from modelservice_operator.explain.placement import explain_placement
from modelservice_operator.facts.nodes import Node, Taint

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNTIME = RecordedRuntime(
    name="onnx", image="r:1", gpu_image="r:1-gpu", gpu_images={"amd.com": "r:a", "gpu.intel.com": "r:i"}
)
DEDICATED = Taint("dedicated", "ml", "NoSchedule")
ILL = Taint("node.kubernetes.io/not-ready", "", "NoExecute")
OWN = Taint("nvidia.com/gpu", "present", "NoSchedule")


def make_pod(**spec: Any) -> dict[str, Any]:
    service = parse_model_service(make_model_service(**spec))
    inputs = PodInputs(service="spam", revision="bcdfghjklm", spec=service.spec, runtime=RUNTIME)
    pod: dict[str, Any] = build_pod_template(inputs)["spec"]
    return pod


def make_node(resource: str = "", labels: dict[str, str] | None = None, **facts: Any) -> Node:
    allocatable = {"cpu": "8", "memory": "32Gi", **({resource: "1"} if resource else {})}
    return Node(name="n", labels=labels or {}, **{"allocatable": allocatable, **facts})


def nvidia(product: str, mebibytes: int, *taints: Taint, **facts: Any) -> Node:
    labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": str(mebibytes)}
    return make_node("nvidia.com/gpu", labels, taints=(OWN, *taints), **facts)


CLUSTER = [
    *[make_node()] * 248,
    *[nvidia("NVIDIA-L4", 23034)] * 40,
    *[nvidia("NVIDIA-A100", 40960)] * 4,
    *[nvidia("NVIDIA-A100", 40960, DEDICATED)] * 8,
]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"gpu": {"count": 1, "memory": "80Gi"}},
            (
                "None of 300 nodes fits: 248 without nvidia.com/gpu, 40 with NVIDIA-L4 (22.4Gi of 80Gi), "
                "12 with NVIDIA-A100 (40Gi of 80Gi). Nearest: spec.gpu.memory: 40Gi fits 4 nodes, "
                "8 more with a toleration of dedicated=ml:NoSchedule."
            ),
        ),
        (
            {"gpu": {"count": 1, "product": "NVIDIA-H100"}},
            (
                "None of 300 nodes fits: 248 without nvidia.com/gpu, "
                "40 with nvidia.com/gpu.product=NVIDIA-L4, 12 with nvidia.com/gpu.product=NVIDIA-A100. "
                "Nearest: spec.gpu.product: NVIDIA-L4 fits 40 nodes."
            ),
        ),
        (
            {"gpu": {"count": 1, "migProfile": "1g.10gb"}},
            (
                "None of 300 nodes fits: 300 without nvidia.com/mig-1g.10gb. Nearest: spec.gpu.resource: "
                "nvidia.com/gpu in place of the MIG profile fits 44 nodes, "
                "8 more with a toleration of dedicated=ml:NoSchedule."
            ),
        ),
        (
            {"resources": {"requests": {"cpu": "16", "memory": "256Gi"}}},
            (
                "None of 300 nodes fits: 300 with less cpu than 16. "
                "Nearest: spec.resources.requests.cpu of at most 8 "
                "and spec.resources.requests.memory of at most 32Gi fits 248 nodes."
            ),
        ),
        (
            {"resources": {"requests": {"memory": "100Gi"}}},
            (
                "None of 300 nodes fits: 300 with less memory than 100Gi. "
                "Nearest: spec.resources.requests.memory of at most 32Gi fits 248 nodes."
            ),
        ),
        (
            {"gpu": {"count": 1, "sharing": {"memoryLimit": "4Gi"}}},
            (
                "None of 300 nodes fits: 248 without nvidia.com/gpu, 52 without the label "
                "nvidia.com/gpu.sharing-strategy. Nearest: no spec.gpu.sharing fits 44 nodes, "
                "8 more with a toleration of dedicated=ml:NoSchedule."
            ),
        ),
        (
            {"gpu": {"count": 1}, "scheduling": {"nodeSelector": {"zone": "b"}}},
            (
                "None of 300 nodes fits: 248 without nvidia.com/gpu, 52 without the label zone=b. Nearest: "
                "a spec.scheduling.nodeSelector without zone=b fits 44 nodes, "
                "8 more with a toleration of dedicated=ml:NoSchedule."
            ),
        ),
    ],
)
def test_explain_placement_says_what_is_missing_and_what_is_nearest(
    spec: dict[str, Any], sentence: str
) -> None:
    assert explain_placement(make_pod(**spec), CLUSTER).sentence == sentence


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        (
            [nvidia("NVIDIA-L4", 23034, DEDICATED)],
            (
                "The only node does not fit: 1 with the taint dedicated=ml:NoSchedule. "
                "Nearest: a toleration of dedicated=ml:NoSchedule fits 1 node."
            ),
        ),
        (
            [nvidia("NVIDIA-L4", 23034, ILL), make_node()],
            (
                "None of 2 nodes fits: 1 with the taint node.kubernetes.io/not-ready:NoExecute, "
                "1 without nvidia.com/gpu. Add such a node, or correct spec.gpu and spec.scheduling."
            ),
        ),
        (
            [nvidia("NVIDIA-L4", 23034, is_cordoned=True)],
            "The only node does not fit: 1 cordoned. Nearest: kubectl uncordon fits 1 node.",
        ),
        (
            [make_node("amd.com/gpu"), make_node("example.com/npu")],
            (
                "None of 2 nodes fits: 2 without nvidia.com/gpu. "
                "Nearest: spec.gpu.resource: amd.com/gpu fits 1 node."
            ),
        ),
    ],
)
def test_explain_placement_of_taints_cordons_and_other_vendors(nodes: list[Node], sentence: str) -> None:
    said = explain_placement(make_pod(gpu={"count": 1}), nodes).sentence

    # The order of reasons of the same number is that of the nodes.
    assert said == sentence


def test_explain_placement_a_toleration_is_nearer_than_another_wish_but_not_of_gpus() -> None:
    wish = {"scheduling": {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100"}}}
    dedicated = [*[nvidia("NVIDIA-L4", 23034)] * 9, nvidia("NVIDIA-A100", 40960, DEDICATED)]
    gpus = [*[make_node()] * 2, nvidia("NVIDIA-A100", 40960)]

    with_gpu = explain_placement(make_pod(gpu={"count": 1}, **wish), dedicated).sentence
    without = explain_placement(make_pod(**wish), gpus).sentence

    assert with_gpu.endswith("Nearest: a toleration of dedicated=ml:NoSchedule fits 1 node.")
    assert without.endswith(
        "Nearest: a spec.scheduling.nodeSelector without nvidia.com/gpu.product=NVIDIA-A100 fits 2 nodes."
    )


@pytest.mark.parametrize(
    ("taint", "said"),
    [
        (ILL, "2 with the taint node.kubernetes.io/not-ready:NoExecute"),
        (Taint("nvidia.com/gpu", "x", "NoExecute"), "2 with the taint nvidia.com/gpu=x:NoExecute"),
    ],
)
def test_explain_placement_names_what_keeps_the_pod_off_the_few_nodes_that_it_is_for(
    taint: Taint, said: str
) -> None:
    others = [nvidia(f"Other-{number}", 16384) for number in range(7) for _ in range(number + 3)]
    wanted = [nvidia("NVIDIA-H200", 143771, taint)] * 2

    found = explain_placement(make_pod(gpu={"count": 1, "product": "NVIDIA-H200"}), [*others, *wanted])

    assert f", {said}, 12 something else." in found.sentence
    if taint is not ILL:
        assert found.sentence.endswith("Nearest: a toleration of nvidia.com/gpu=x:NoExecute fits 2 nodes.")


@pytest.mark.parametrize(
    ("asked", "there"),
    [("Tesla-T4", "Tesla-T4-SHARED"), ("nvidia-a100", "NVIDIA-A100-SXM4-40GB"), ("L40S-48C", "NVIDIA-L4")],
)
def test_explain_placement_proposes_the_product_that_was_meant(asked: str, there: str) -> None:
    nodes = [*[nvidia("NVIDIA-L4", 23034)] * 9, nvidia(there, 15360)]

    said = explain_placement(make_pod(gpu={"count": 1, "product": asked}), nodes).sentence

    assert f"Nearest: spec.gpu.product: {there} fits " in said


def test_explain_placement_of_two_products_of_which_each_excludes_the_other_fits_nothing() -> None:
    selector = {"nvidia.com/gpu.product": "Tesla-V100"}
    pod = make_pod(gpu={"count": 1, "product": "NVIDIA-L4"}, scheduling={"nodeSelector": selector})

    said = explain_placement(pod, [nvidia("NVIDIA-L4", 23034), nvidia("Tesla-V100", 16384)]).sentence

    assert said == (
        "None of 2 nodes fits: 1 with nvidia.com/gpu.product=NVIDIA-L4, 1 with nvidia.com/gpu.product="
        "Tesla-V100. Nearest: a spec.scheduling.nodeSelector without nvidia.com/gpu.product=Tesla-V100 "
        "fits 1 node."
    )


def test_explain_placement_with_another_resource_tolerates_its_taints() -> None:
    nodes = [make_node("amd.com/gpu", taints=(Taint("amd.com/gpu", "present", "NoSchedule"),))]

    said = explain_placement(make_pod(gpu={"count": 1}), nodes).sentence

    assert said.endswith("Nearest: spec.gpu.resource: amd.com/gpu fits 1 node.")


@pytest.mark.parametrize(
    ("asked", "said"),
    [("22.5Gi", "(22.4Gi of 22.5Gi)"), ("23035Mi", "(22.4Gi of 22.5Gi)"), ("1Ti", "(22.4Gi of 1024Gi)")],
)
def test_explain_placement_tells_less_memory_than_was_asked_for(asked: str, said: str) -> None:
    pod = make_pod(gpu={"count": 1, "memory": asked})

    assert said in explain_placement(pod, [nvidia("NVIDIA-L4", 23034)]).sentence


def test_explain_placement_where_some_fit_counts_them() -> None:
    placement = explain_placement(make_pod(gpu={"count": 1, "memory": "20Gi"}), CLUSTER)

    assert (placement.nodes, placement.fitting) == (300, 44)


MEMORIES = st.sampled_from([15360, 23034, 40960, 81559])
PRODUCTS = st.sampled_from(["NVIDIA-L4", "Tesla-T4", "Tesla-T4-SHARED", "NVIDIA-A100"])
LABELS = st.fixed_dictionaries(
    {},
    optional={
        "nvidia.com/gpu.memory": MEMORIES.map(str),
        "nvidia.com/gpu.product": PRODUCTS,
        "nvidia.com/gpu.sharing-strategy": st.sampled_from(["none", "mps", "time-slicing"]),
        "amd.com/gpu.vram": st.sampled_from(["16G", "64G", "192G", "odd"]),
        "zone": st.sampled_from(["a", "b"]),
    },
)
RESOURCES = [
    "nvidia.com/gpu",
    "nvidia.com/mig-1g.10gb",
    "nvidia.com/mig-1g.10gb.me",
    "nvidia.com/mig-1g.24gb.gfx",
    "nvidia.com/mig-1g.10gb.shared",
    "amd.com/gpu",
    "gpu.intel.com/xe",
]
NODES = st.builds(
    Node,
    name=st.just("n"),
    labels=LABELS,
    taints=st.lists(st.sampled_from([DEDICATED, ILL, OWN]), max_size=2, unique=True).map(tuple),
    is_cordoned=st.booleans(),
    allocatable=st.fixed_dictionaries(
        {"cpu": st.sampled_from(["2", "7500m", "32"]), "memory": st.sampled_from(["8Gi", "64Gi"])},
        optional={name: st.sampled_from(["0", "1", "8"]) for name in RESOURCES},
    ),
)
GPUS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"count": st.just(1)},
        optional={
            "memory": st.sampled_from(["16Gi", "40Gi", "100Gi"]),
            "products": st.lists(PRODUCTS, min_size=1, max_size=2, unique=True),
        },
    ),
    st.just({"count": 1, "product": "Tesla-T4", "sharing": {"memoryLimit": "1Gi"}}),
    st.just({"count": 1, "migProfile": "1g.10gb"}),
    st.just({"count": 1, "resource": "amd.com/gpu", "memory": "64Gi"}),
    st.just({"count": 1, "resource": "gpu.intel.com/xe"}),
)
TERM = st.sampled_from(
    [{"key": "zone", "operator": "In", "values": ["a"]}, {"key": "zone", "operator": "Exists"}]
)
SCHEDULING = st.fixed_dictionaries(
    {},
    optional={
        "nodeSelector": st.just({"zone": "b"}),
        "tolerations": st.just([{"key": "dedicated", "operator": "Exists"}]),
        "affinity": st.lists(TERM, min_size=1, max_size=2).map(
            lambda terms: {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [one]} for one in terms]
                    }
                }
            }
        ),
    },
)
PODS = st.builds(
    lambda gpu, scheduling, cpu: make_pod(
        **({"gpu": gpu} if gpu else {}), scheduling=scheduling, resources={"requests": {"cpu": cpu}}
    ),
    GPUS,
    SCHEDULING,
    st.sampled_from(["1", "16"]),
)


def assert_taken(changes: Sequence[str]) -> None:
    """The API takes what is proposed of a GPU."""
    for said in changes:
        field, _, value = said.removeprefix("spec.gpu.").partition(": ")
        if said.startswith("spec.gpu.") and field != "products":
            make_pod(gpu={"count": 1, field: value.removesuffix(" in place of the MIG profile")})


@given(PODS, st.lists(NODES, min_size=1, max_size=12))
def test_explain_placement_tells_the_truth_about_any_nodes(pod: dict[str, Any], nodes: list[Node]) -> None:
    found = explain_placement(pod, nodes)

    assert found.fitting == sum(fits(pod, node) for node in nodes)
    if found.fitting:
        return
    assert sum(count for count, _ in found.reasons) == len(nodes)
    if found.nearest is not None:
        assert found.nearest.nodes == sum(fits(dict(found.nearest.pod), node) for node in nodes) > 0
        assert len(set(found.nearest.changes)) == len(found.nearest.changes) > 0
        assert_taken(found.nearest.changes)
    assert len(found.sentence) < 1000


@given(st.lists(NODES, min_size=1, max_size=8))
def test_explain_placement_proposes_something_wherever_a_well_node_has_a_gpu(nodes: list[Node]) -> None:
    is_possible = any(
        ILL not in node.taints and any(node.allocatable.get(name, "0") != "0" for name in RESOURCES)
        for node in nodes
    )
    found = explain_placement(make_pod(gpu={"count": 1}), nodes)

    assert found.fitting or (found.nearest is not None) == is_possible
