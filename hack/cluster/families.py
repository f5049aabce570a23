"""Which programs we build from Go modules: one family for each `go/<name>/go.mod`, which pins the versions.

To add one: make `go/<name>/go.mod` and `go.sum` with `go get -tool PACKAGE@VERSION`, and add a row here.
"""

from dataclasses import dataclass, field

KUBERNETES_VERSION = "v1.37.1"


@dataclass(frozen=True)
class Family:
    """Programs that share one Go module and one version.

    `programs` maps a program's name to its package. `stamps` are `-X` values of the linker: without them a
    Kubernetes program reports v0.0.0 and its peers refuse it. A program found outside the cache is used when
    its answer to `version_arguments` holds `version_text`. `build_seconds` is the wall time on 2 cores.
    """

    name: str
    version: str
    programs: dict[str, str]
    build_seconds: int
    version_text: str
    stamps: dict[str, str] = field(default_factory=dict)
    version_arguments: tuple[str, ...] = ("--version",)


def _kubernetes_stamps() -> dict[str, str]:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{key}": value for package in packages for key, value in values.items()}


_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)

# Build times: measured on this project's 2-core machine with empty caches.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="kubernetes",
            version=KUBERNETES_VERSION,
            programs={program: f"k8s.io/kubernetes/cmd/{program}" for program in _KUBERNETES_PROGRAMS},
            build_seconds=690,
            version_text=f"Kubernetes {KUBERNETES_VERSION}",
            stamps=_kubernetes_stamps(),
        ),
        Family(
            name="etcd",
            version="v3.6.7",
            programs={"etcd": "go.etcd.io/etcd/server/v3"},
            build_seconds=60,
            version_text="etcd Version: 3.6.7",
        ),
        Family(
            name="kwok",
            version="v0.7.0",
            programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            build_seconds=180,
            version_text="v0.7.0",
            stamps={"sigs.k8s.io/kwok/pkg/consts.Version": "v0.7.0"},
        ),
        Family(
            name="helm",
            version="v4.3.1",
            programs={"helm": "helm.sh/helm/v4/cmd/helm"},
            build_seconds=200,
            version_text="v4.3.1",
            version_arguments=("version",),
            stamps={"helm.sh/helm/v4/internal/version.version": "v4.3.1"},
        ),
        Family(
            name="helm-docs",
            version="v1.14.2",
            programs={"helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs"},
            build_seconds=30,
            version_text="v1.14.2",
            stamps={"main.version": "v1.14.2"},
        ),
        Family(
            name="versitygw",
            version="v1.8.0",
            programs={"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
            build_seconds=130,
            version_text="v1.8.0",
            stamps={"main.Version": "v1.8.0"},
        ),
        Family(
            name="fake-gcs-server",
            version="v1.56.1",
            programs={"fake-gcs-server": "github.com/fsouza/fake-gcs-server"},
            build_seconds=120,
            version_text="v1.56.1",  # it has no option that says so: one on PATH is never taken
        ),
        Family(
            name="age",
            version="v1.3.2",
            programs={"age": "filippo.io/age/cmd/age"},
            build_seconds=15,
            version_text="v1.3.2",
            stamps={"main.Version": "v1.3.2"},
        ),
        Family(
            name="oras",
            version="v1.3.6",
            programs={"oras": "oras.land/oras/cmd/oras"},
            build_seconds=45,
            version_text="1.3.6",
            version_arguments=("version",),
        ),
        Family(
            name="prometheus-adapter",
            version="v0.12.0",
            programs={"prometheus-adapter": "sigs.k8s.io/prometheus-adapter/cmd/adapter"},
            build_seconds=240,
            version_text="v0.12.0",  # nor has this one
        ),
        Family(
            name="envoy-gateway",
            version="v1.9.1",
            programs={"envoy-gateway": "github.com/envoyproxy/gateway/cmd/envoy-gateway"},
            build_seconds=600,
            version_text="v1.9.1",
            version_arguments=("version",),
            stamps={"github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion": "v1.9.1"},
        ),
        Family(
            name="keda",
            version="v2.21.0",
            # Named by their packages, as `go build` does it where there are several.
            programs={name: f"github.com/kedacore/keda/v2/cmd/{name}" for name in ("operator", "adapter")},
            build_seconds=1300,
            version_text="v2.21.0",  # nor have these
        ),
        Family(
            name="source-controller",
            version="v1.9.4",
            programs={"source-controller": "github.com/fluxcd/source-controller"},
            build_seconds=400,
            version_text="v1.9.4",  # nor has this one
        ),
        Family(
            name="kustomize-controller",
            version="v1.9.6",
            programs={"kustomize-controller": "github.com/fluxcd/kustomize-controller"},
            build_seconds=400,
            version_text="v1.9.6",  # nor has this one
        ),
        Family(
            name="kubeconform",
            version="v0.8.0",
            programs={"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
            build_seconds=10,
            version_text="v0.8.0",
            version_arguments=("-v",),
            stamps={"main.version": "v0.8.0"},
        ),
        Family(
            name="crdify",
            version="v0.6.0",
            programs={"crdify": "sigs.k8s.io/crdify"},
            build_seconds=40,
            version_text="v0.6.0",  # one from elsewhere does not say it like this, and is not taken
            version_arguments=("version",),
        ),
        Family(
            name="actionlint",
            version="v1.7.12",
            programs={"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"},
            build_seconds=14,
            version_text="1.7.12",
            version_arguments=("-version",),
        ),
        Family(
            name="kube-score",
            version="v1.20.0",
            programs={"kube-score": "github.com/zegl/kube-score/cmd/kube-score"},
            build_seconds=30,
            version_text="v1.20.0",
            version_arguments=("version",),
            stamps={"main.version": "v1.20.0"},
        ),
    )
}
