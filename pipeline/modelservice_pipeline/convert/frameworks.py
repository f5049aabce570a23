"""The frameworks that models come from, and the environment each is converted in."""

from dataclasses import dataclass

from modelservice_pipeline.convert.environments import Environment

CLASSICAL = Environment("classical", 400)
TORCH = Environment("torch", 5600)
JAX = Environment("jax", 900)
PADDLE = Environment("paddle", 1000)
MINDSPORE = Environment("mindspore", 2800)
TENSORFLOW = Environment("tensorflow", 1700)
TRANSFORMERS = Environment("transformers", 5800)
CAUSAL = Environment("causal", 5900)


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
        Framework(
            "transformers", TRANSFORMERS, "a folder as save_pretrained writes it: encoders, classifiers"
        ),
        Framework("transformers-causal", CAUSAL, "such a folder of a language model that writes texts"),
        Framework("keras", TENSORFLOW, "a .keras file"),
        Framework("savedmodel", TENSORFLOW, "the folder of a SavedModel"),
        Framework("jax", JAX, "net.py:predict, a function of the inputs"),
        Framework("paddle", PADDLE, "net.json or net.pdmodel as paddle.jit.save writes it"),
        Framework("mindspore", MINDSPORE, "net.py:make_net with --state and --input"),
        Framework("torch", TORCH, "net.py:make_net with --state, a .pt2 of torch.export, or TorchScript"),
    )
}
