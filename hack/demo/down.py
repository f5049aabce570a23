"""Remove the demo from a cluster that is not the demo's own."""

from pathlib import Path

from hack.demo.kubectl import Kubectl
from hack.demo.steps import Steps
from hack.demo.up import INSTALL, MODEL_SERVICE, NAMESPACE


def remove(root: Path, kubectl: Kubectl, steps: Steps) -> None:
    """Delete the model and the operator; the definitions stay, because other ModelServices may be there."""
    with steps.step(f"deleting {MODEL_SERVICE} and its pods"):
        kubectl.run(
            "delete", MODEL_SERVICE, "--namespace", NAMESPACE, "--ignore-not-found", "--cascade=foreground"
        )
    with steps.step("deleting the operator"):
        kubectl.run("delete", "--ignore-not-found", "-f", str(root / INSTALL))
    steps.say("the API's definitions stay; `kubectl delete -f manifests/crds.yaml` deletes them and every")
    steps.say("ModelService in the cluster")
