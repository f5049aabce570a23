"""One look after the other at the services of a namespace, and at what their pods say of themselves."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.api import Cluster, Object
from modelservice_cli.rollout.cluster.errors import ForbiddenError
from modelservice_cli.top.busy import Busy, Look, busy_between
from modelservice_cli.top.rows import ServiceRow, service_rows
from modelservice_operator.facts.pods import is_ready
from modelservice_operator.work.measure.counts import parse_page
from modelservice_operator.work.pods.asking import metrics_port

# Pods that are asked at a time: the API server passes each question on.
_AT_ONCE = 8
_NO_RIGHT = (
    "The pods were not asked: that takes the right to get pods/proxy, which the role 'edit' has and 'view' "
    "has not."
)


@dataclass(slots=True)
class Watcher:
    """Looks at one ModelService, or at all of a namespace. Its methods may raise CommandError."""

    cluster: Cluster
    namespace: str
    name: str | None
    notes: tuple[str, ...] = ()
    """What the last look could not read."""
    _latest: dict[str, Look] = field(default_factory=dict)

    def look(self) -> list[ServiceRow]:
        """The services now; how busy their pods were since the look before, where there was one."""
        cluster, namespace = self.cluster, self.namespace
        if self.name is None:
            services = cluster.list_services(namespace)
        else:
            services = [cluster.read_service(namespace, self.name)]
        pods = cluster.list_pods(namespace, self.name or "")
        return service_rows(services, pods, self._busy(pods))

    def _busy(self, pods: Sequence[Object]) -> dict[str, Busy]:
        """By the uid of each pod that has answered twice."""
        asked = [pod for pod in pods if is_ready(pod)]
        before, self._latest, self.notes = self._latest, {}, ()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looks = list(pool.map(self._ask, asked))
        for pod, look in zip(asked, looks, strict=True):
            if look is not None:
                self._latest[str(pod["metadata"]["uid"])] = look
        found = {uid: busy_between(before[uid], look) for uid, look in self._latest.items() if uid in before}
        return {uid: busy for uid, busy in found.items() if busy is not None}

    def _ask(self, pod: Object) -> Look | None:
        """None where the pod does not answer as a server of ours does."""
        name, port = str(pod["metadata"]["name"]), metrics_port(pod)
        try:
            load = self.cluster.ask_pod(self.namespace, name, port, "load")
            page = self.cluster.ask_pod(self.namespace, name, port, "metrics")
            return Look(parse_answer(load).load, parse_page(page.decode()).counts)
        except ForbiddenError:
            self.notes = (_NO_RIGHT,)
            return None
        except (CommandError, ValueError):
            return None
