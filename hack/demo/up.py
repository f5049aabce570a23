"""The steps of the demo, in order. Each can be repeated: what is there and unchanged is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.demo import predict
from hack.demo.errors import DemoError
from hack.demo.images import IMAGES
from hack.demo.kubectl import Kubectl
from hack.demo.manifests import build_model_service, find_names, replace_images
from hack.demo.steps import Steps
from hack.demo.targets import Target
from hack.demo.training import EXAMPLE, OUTPUT, Trained

CRDS = Path("manifests/crds.yaml")
INSTALL = Path("manifests/install.yaml")
SYSTEM_NAMESPACE = "modelservice-system"
DEPLOYMENT = "deployment/modelservice-operator"
NAMESPACE = "default"
MODEL_SERVICE = "modelservice/spam"
MODEL_REPOSITORY = "models/spam"
MODEL_TAG = "1"

_OPERATOR_LABEL = "app.kubernetes.io/name=modelservice-operator"
# Pulling two images of about 100 MB over a slow line takes a minute or two.
_TIMEOUT = "--timeout=180s"
_NULL_CONDITIONS = ".status.conditions accessor error"
_NULL_CONDITIONS_TRIES = 5


@dataclass(frozen=True)
class Demo:
    """One run of the demo on one target."""

    root: Path
    steps: Steps
    target: Target

    def run(self, trained: Trained) -> None:
        """Install the operator, serve the model, ask it, and say how to go on.

        Raises:
            DemoError: a step failed; the message holds what the cluster says about it.

        """
        images = self._provide_images()
        manifest = self._provide_model(trained)
        self._install_definitions()
        self._install_operator(images)
        self._serve(manifest)
        self._ask()
        self._say_next_steps()

    def _provide_images(self) -> dict[str, str]:
        """Return the repository that the manifests name -> the reference that the cluster pulls."""
        images = {}
        for image in IMAGES:
            with self.steps.step(f"image {image.name}: built and pushed where something changed"):
                images[image.repository] = self.target.provide_image(image, self.root)
        return images

    def _provide_model(self, trained: Trained) -> Path:
        """Push the model and write the ModelService that names it; returns the manifest's path."""
        uri = f"oci://{self.target.registry_name}/{MODEL_REPOSITORY}:{MODEL_TAG}"
        with self.steps.step(f"pushing the model as {uri}"):
            self.target.registry.push_model(MODEL_REPOSITORY, MODEL_TAG, trained.model)
        committed = (self.root / EXAMPLE / "modelservice.yaml").read_text(encoding="utf-8")
        manifest = self.root / OUTPUT / "modelservice.yaml"
        manifest.write_text(build_model_service(committed, uri, trained.sha256), encoding="utf-8")
        return manifest

    def _install_definitions(self) -> None:
        crds = self.root / CRDS
        names = find_names(crds.read_text(encoding="utf-8"), "CustomResourceDefinition")
        with self.steps.step(f"installing the API: kubectl apply -f {CRDS}, then wait for Established"):
            self.target.kubectl.run("apply", "-f", str(crds))
            wait_established(self.target.kubectl, [f"crd/{name}" for name in names])

    def _install_operator(self, images: dict[str, str]) -> None:
        text = (self.root / INSTALL).read_text(encoding="utf-8")
        kubectl, namespace = self.target.kubectl, ("--namespace", SYSTEM_NAMESPACE)
        with self.steps.step(f"installing the operator from {INSTALL} and waiting for its rollout"):
            kubectl.run("apply", "-f", "-", stdin=replace_images(text, images))
            self._wait(
                ("rollout", "status", DEPLOYMENT, *namespace, _TIMEOUT),
                ("get", "pods", *namespace, "-o", "wide"),
                ("logs", *namespace, "--selector", _OPERATOR_LABEL, "--prefix", "--tail=5"),
                ("get", "events", *namespace, "--field-selector=type=Warning", "--sort-by=.lastTimestamp"),
            )

    def _serve(self, manifest: Path) -> None:
        kubectl, namespace = self.target.kubectl, ("--namespace", NAMESPACE)
        shown = manifest.relative_to(self.root)
        with self.steps.step(f"serving the model: kubectl apply -f {shown}, then wait for Ready"):
            kubectl.run("apply", *namespace, "-f", str(manifest))
            self._wait(
                ("wait", "--for=condition=Ready", MODEL_SERVICE, *namespace, _TIMEOUT),
                ("get", MODEL_SERVICE, *namespace, "-o", "wide"),
                ("describe", MODEL_SERVICE, *namespace),
                ("get", "pods", *namespace, "-o", "wide"),
            )

    def _wait(self, command: tuple[str, ...], *explanations: tuple[str, ...]) -> None:
        try:
            self.target.kubectl.run(*command)
        except DemoError as error:
            raise DemoError(f"{error}\n{self.target.kubectl.explain(*explanations)}") from error

    def _ask(self) -> None:
        with (
            self.steps.step("sending two messages to the Service spam"),
            self.target.open_service(NAMESPACE, "spam") as url,
        ):
            answers = predict.ask(url, predict.MESSAGES)
        print(f"\n{predict.render_answers(answers)}\n")
        if [answer.label for answer in answers] != list(predict.EXPECTED):
            raise DemoError(f"expected the labels {', '.join(predict.EXPECTED)}")

    def _say_next_steps(self) -> None:
        print("$ kubectl get msvc -o wide")
        print(self.target.kubectl.run("get", "msvc", "--namespace", NAMESPACE, "-o", "wide"))
        self.steps.say("the demo runs. Go on with:")
        print("\n".join(f"  {line}" for line in self.target.next_steps()))


def wait_established(kubectl: Kubectl, definitions: Sequence[str]) -> None:
    """Wait until the API server serves the definitions.

    Conditions of a definition are null for its first milliseconds. `kubectl wait` fails on that instead of
    waiting, so it is called again.
    """
    for _ in range(_NULL_CONDITIONS_TRIES):
        try:
            kubectl.run("wait", "--for=condition=Established", _TIMEOUT, *definitions)
        except DemoError as error:
            if _NULL_CONDITIONS not in str(error):
                raise
        else:
            return
    kubectl.run("wait", "--for=condition=Established", _TIMEOUT, *definitions)
