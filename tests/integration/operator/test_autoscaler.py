"""The real autoscaler beside the real operator, on pods whose load the test decides."""

from __future__ import annotations

import contextlib
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import PATIENT_LEASE, SHORT_LEASE, Kube
from tests.integration.operator.test_sleep_killed import PlayedActivator
from tests.support.operator_process import OperatorOptions, OperatorProcess, wait_until
from tests.support.played_pods import played_pods, pod_addresses
from tests.support.ports import free_port
from tests.support.rights import limited_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.played_pods import Addresses, Fleet

AUTOSCALER = "modelservice-operator-autoscaler"
"""Its name where it is installed."""
CONCURRENCY = [{"type": "Concurrency", "target": {"averageValue": "2"}}]
QUICK_DOWN = {"scaleDown": {"stabilizationWindowSeconds": 4}}


@pytest.fixture(scope="module")
def kube(installed) -> Iterator[Kube]:
    """One namespace for all tests of this module."""
    with testing.fresh_namespace(installed.api) as namespace:
        yield Kube(installed.api, namespace)


@pytest.fixture(scope="module")
def make_process(installed, kube, tmp_path_factory) -> Iterator[Callable[..., OperatorProcess]]:
    """Replicas of a component for the namespace, which are not started yet."""
    made: list[OperatorProcess] = []
    directory: Path = tmp_path_factory.mktemp("processes")

    def make(
        module: str, identity: str, *flags: str, kubeconfig: Path = installed.kubeconfig
    ) -> OperatorProcess:
        options = OperatorOptions(
            kubeconfig=kubeconfig,
            namespace=kube.namespace,
            log=directory / f"{identity}.log",
            identity=identity,
            flags=(*SHORT_LEASE, *flags),
            module=module,
        )
        made.append(OperatorProcess(options))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture(scope="module")
def rights(installed, kube, tmp_path_factory) -> Iterator[Path]:
    """A kubeconfig with the rights that the autoscaler has where it is installed."""
    folder = tmp_path_factory.mktemp("rights")
    with limited_to(installed, kube.namespace, AUTOSCALER, folder) as path:
        yield path


@pytest.fixture(scope="module")
def make_autoscaler(make_process, rights) -> Callable[[str], OperatorProcess]:
    """Replicas of the autoscaler with no more rights than that."""
    flags = ("--lease-name", AUTOSCALER)

    def make(identity: str) -> OperatorProcess:
        port = ("--grpc-port", str(free_port()))
        made: OperatorProcess = make_process(
            "modelservice_autoscaler", identity, *flags, *port, kubeconfig=rights
        )
        return made

    return make


@pytest.fixture(scope="module")
def activator(kube) -> Iterator[None]:
    """What could wake services, so that they may sleep."""
    playing = PlayedActivator(kube)
    playing.appear()
    yield
    playing.close()


@pytest.fixture(scope="module")
def autoscaler(kube, activator, make_process, make_autoscaler) -> OperatorProcess:
    """The replica that leads, beside an operator that knows where it is."""
    leader: OperatorProcess = make_autoscaler("autoscaler-0").start()
    address = f"{AUTOSCALER}.{kube.namespace}.svc:9090"
    flags = ("--scaler-address", address, f"--activator-service={kube.namespace}/activator")
    make_process("modelservice_operator", "operator-0", *PATIENT_LEASE, *flags).start().wait_leading()
    return leader.wait_leading()


@dataclass
class Scaled:
    """A service that scales, and its pods."""

    kube: Any
    name: str
    fleet: Fleet

    def apply(self, *, tag: str = "1", rollout: dict[str, Any] | None = None, **autoscaling: Any) -> None:
        """Apply it, from 1 to 8 pods with 2 requests each unless `autoscaling` says otherwise."""
        wanted = {"provider": "Builtin", "maxReplicas": 8, "metrics": CONCURRENCY, "behavior": QUICK_DOWN}
        self.kube.apply_service(
            self.name,
            tag,
            scheduling=self.fleet.node.scheduling,
            autoscaling=wanted | autoscaling,
            **({"rollout": rollout} if rollout else {}),
        )

    @property
    def rollout(self) -> dict[str, Any]:
        """How far a change is."""
        found: dict[str, Any] = self.kube.service(self.name).get("status", {}).get("rollout") or {}
        return found

    @property
    def replicas(self) -> int:
        """What `/scale` says."""
        return int(self.kube.service(self.name)["spec"]["replicas"])

    @property
    def told(self) -> dict[str, Any]:
        """The last decision that the status tells of."""
        found: dict[str, Any] = self.kube.service(self.name).get("status", {}).get("autoscaler") or {}
        return found

    @property
    def version(self) -> str:
        return str(self.kube.service(self.name)["metadata"]["resourceVersion"])

    def scale(self, replicas: int) -> None:
        """As `kubectl scale` does."""
        path = f"{self.kube.path('modelservices', self.name)}/scale"
        self.kube.api.patch(path, {"spec": {"replicas": replicas}})

    def wait_scaled(self, replicas: int) -> None:
        """Wait until so many pods are wanted, and run."""
        wait_until(
            lambda: self.replicas == replicas == len(self.fleet.traffic.addresses),
            f"{self.name} has {replicas} pods",
        )

    def wait_told(self, field: str, part: str) -> None:
        """Wait until a field of the status says this."""
        wait_until(lambda: part in (self.told.get(field) or ""), f"status.autoscaler.{field} says {part!r}")


def at_rest(scaled: Scaled, seconds: float = 4.0) -> None:
    """Nobody writes to the service for as long as some looks at its pods take."""
    wait_until(lambda: is_quiet(scaled, seconds), f"{scaled.name} is at rest")


def is_quiet(scaled: Scaled, seconds: float) -> bool:
    version, asked = scaled.version, scaled.fleet.traffic.asked
    time.sleep(seconds)
    return scaled.fleet.traffic.asked > asked and scaled.version == version


def step_of_the_load_and_back(scaled: Scaled) -> None:
    scaled.apply()
    scaled.fleet.traffic.set(1.5)
    scaled.wait_scaled(1)
    at_rest(scaled)
    scaled.fleet.traffic.set(12.0)
    scaled.wait_scaled(6)
    scaled.wait_told("message", "Concurrency")
    scaled.fleet.traffic.set(3.0)
    scaled.wait_scaled(2)
    at_rest(scaled)
    assert scaled.replicas == 2


def pods_that_do_not_answer(scaled: Scaled) -> None:
    scaled.apply()
    scaled.fleet.traffic.set(7.0)
    wait_until(lambda: scaled.replicas > 2, "more pods are wanted")
    at_rest(scaled)
    pods = scaled.replicas
    scaled.fleet.traffic.silent = {*scaled.fleet.traffic.addresses}
    scaled.fleet.traffic.set(0.0)
    scaled.wait_told("missing", f"{pods} of {pods} pods do not answer")
    time.sleep(30)  # longer than anything else keeps them
    assert scaled.replicas == pods
    scaled.fleet.traffic.silent = set()
    scaled.wait_scaled(1)
    wait_until(lambda: not scaled.told.get("missing"), "nothing is missing any more")


def idle_service(scaled: Scaled) -> None:
    scaled.apply(minReplicas=0, idleSeconds=3)
    scaled.fleet.traffic.set(1.0)
    scaled.wait_scaled(1)
    scaled.kube.wait_ready(scaled.name)
    time.sleep(5)
    assert scaled.replicas == 1
    scaled.fleet.traffic.set(0.0)
    wait_until(lambda: scaled.replicas == 0, "it sleeps")
    scaled.wait_told("message", "No request for 3 s: 1 -> 0")
    wait_until(lambda: not scaled.fleet.traffic.addresses, "no pod runs")
    time.sleep(3)
    assert scaled.replicas == 0


def idle_service_with_another_engine(scaled: Scaled) -> None:
    metrics = [{"type": "CPU", "target": {"averageUtilization": 80}}]
    scaled.apply(provider="HPA", minReplicas=0, idleSeconds=3, metrics=metrics)
    scaled.fleet.traffic.set(0.0)
    wait_until(lambda: scaled.replicas == 0, "it sleeps")
    scaled.wait_told("message", "No request for 3 s: 1 -> 0")


def service_that_is_switched_off(scaled: Scaled) -> None:
    scaled.apply(minReplicas=2)
    scaled.wait_scaled(2)
    scaled.scale(0)
    wait_until(lambda: not scaled.fleet.traffic.addresses, "no pod runs")
    time.sleep(3)
    assert scaled.replicas == 0
    scaled.scale(1)
    scaled.wait_scaled(2)


def number_that_a_person_sets(scaled: Scaled) -> None:
    """It is obeyed until the next decision, as with an HPA; that comes when it may scale down again."""
    scaled.apply(behavior={"scaleDown": {"selectPolicy": "Disabled"}})
    scaled.fleet.traffic.set(3.0)
    scaled.wait_scaled(2)
    at_rest(scaled)
    scaled.scale(5)
    scaled.wait_scaled(5)
    at_rest(scaled)
    assert scaled.replicas == 5
    scaled.apply()
    scaled.wait_scaled(2)


def canary_under_load(scaled: Scaled) -> None:
    """Both write what is theirs: the number of pods, and which of them are new ones."""
    steps = [{"setWeight": 50}, {"pause": {}}]
    change = {"strategy": "Canary", "canary": {"steps": steps}, "contract": "Ignore"}
    scaled.apply(rollout=change)
    scaled.wait_scaled(1)
    scaled.fleet.traffic.set(8.0)
    scaled.wait_scaled(4)
    scaled.kube.wait_ready(scaled.name)
    scaled.apply(rollout=change, tag="2")
    wait_until(lambda: scaled.rollout.get("paused"), "the canary waits")
    scaled.wait_scaled(4)
    at_rest(scaled)
    assert scaled.replicas == 4
    scaled.fleet.traffic.set(16.0)
    scaled.wait_scaled(8)
    assert scaled.rollout.get("paused")
    promote = f"promote@{scaled.kube.service(scaled.name)['status']['targetRevision']}"
    scaled.kube.api.patch(
        scaled.kube.path("modelservices", scaled.name),
        {"metadata": {"annotations": {"modelservice.dev/rollout-action": promote}}},
    )
    scaled.kube.wait_ready(scaled.name)
    scaled.wait_scaled(8)


SCENARIOS = (
    canary_under_load,
    step_of_the_load_and_back,
    pods_that_do_not_answer,
    idle_service,
    idle_service_with_another_engine,
    service_that_is_switched_off,
    number_that_a_person_sets,
)


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    with pod_addresses() as free:
        yield free


@contextlib.contextmanager
def scaled_service(kube: Kube, name: str, addresses: Addresses) -> Iterator[Scaled]:
    """A service on a node of its own, that is not applied yet."""
    with played_pods(kube.api, f"{kube.namespace}-{name}"[:60].strip("-"), addresses) as fleet:
        yield Scaled(kube, name, fleet)
        kube.api.delete(kube.path("modelservices", name))


@pytest.fixture(scope="module")
def outcomes(kube, autoscaler, addresses) -> Iterator[dict[str, Future[None]]]:
    """All scenarios, which go on side by side: each waits most of its time."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(SCENARIOS)) as threads:
        services = {
            one: stack.enter_context(scaled_service(kube, one.__name__.replace("_", "-"), addresses))
            for one in SCENARIOS
        }
        yield {one.__name__: threads.submit(play, one, service) for one, service in services.items()}


def play(scenario: Callable[[Scaled], None], scaled: Scaled) -> None:
    """Play it; where it fails say how things were then."""
    try:
        scenario(scaled)
    except AssertionError as error:
        pods = [pod["metadata"]["name"] for pod in scaled.fleet.node.pods()]
        raise AssertionError(f"{error}: {scaled.replicas} wanted, told {scaled.told}, pods {pods}") from error


@pytest.mark.parametrize("scenario", [one.__name__ for one in SCENARIOS])
def test_scaling_of(scenario, outcomes):
    outcomes[scenario].result()


def test_rights_of_the_install_manifests_are_enough(outcomes, autoscaler):
    for outcome in outcomes.values():
        outcome.exception()
    for subresource in ("scale", "status"):
        assert autoscaler.metric("modelservice_autoscaler_writes_total", operation=subresource) > 0
    assert autoscaler.metric("modelservice_autoscaler_api_requests_total", code="403") == 0


def test_killed_and_frozen_replicas_lose_nothing(kube, autoscaler, make_autoscaler, addresses):
    with scaled_service(kube, "killed", addresses) as scaled:
        scaled.apply()
        scaled.fleet.traffic.set(5.0)
        scaled.wait_scaled(3)
        standby = make_autoscaler("autoscaler-1").start().wait_ready()
        autoscaler.kill()
        scaled.fleet.traffic.set(9.0)
        standby.wait_leading()
        scaled.wait_scaled(5)
        # Frozen for longer than its Lease lasts: it must not write what it decided before.
        autoscaler.start().wait_ready()
        standby.signal(signal.SIGSTOP)
        autoscaler.wait_leading()
        scaled.fleet.traffic.set(13.0)
        scaled.wait_scaled(7)
        scaled.fleet.traffic.set(14.0)
        standby.signal(signal.SIGCONT)
        wait_until(lambda: not standby.is_running(), "the replica that lost the Lease ends")
        at_rest(scaled)
        assert scaled.replicas == 7
