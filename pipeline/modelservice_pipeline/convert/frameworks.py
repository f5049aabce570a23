"""The frameworks that models come from, and the environment each is converted in."""

from dataclasses import dataclass

from modelservice_pipeline.convert.environments import Environment

CLASSICAL = Environment("classical", 400)
TORCH = Environment("torch", 5600)


@dataclass(frozen=True)
class Framework:
    """A framework.

    Attributes:
        name: As one types it.
        environment: The packages it is converted with.
        takes: What the user gives, for the help.
    """

    name: str
    environment: Environment
    takes: str


FRAMEWORKS = {
    framework.name: framework
    for framework in (
        Framework("sklearn", CLASSICAL, "a pickle or joblib file of a fitted estimator or pipeline"),
        Framework("xgboost", CLASSICAL, "a .json or .ubj file, or a pickle"),
        Framework("lightgbm", CLASSICAL, "a .txt file, or a pickle"),
        Framework("torch", TORCH, "net.py:make_net with --state, a .pt2 of torch.export, or TorchScript"),
    )
}
