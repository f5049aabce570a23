"""Converts a folder of Hugging Face's transformers: an encoder, or a model with a head for classes."""

import json
from typing import Any

from modelservice_pipeline.convert.inside.from_torch import convert_module
from modelservice_pipeline.convert.inside.job import Converted, Job, import_or_explain
from modelservice_pipeline.convert.inside.tensors import Input
from modelservice_pipeline.errors import PipelineError


def convert(job: Job) -> Converted:
    """Convert the model of a local folder; it takes ids of tokens. Raises PipelineError."""
    for package in ("torch", "onnxscript", "transformers"):
        import_or_explain(package)
    import torch
    import transformers

    torch.manual_seed(0)
    torch.set_num_threads(1)
    if not (job.source / "config.json").is_file():
        raise PipelineError(f"{job.source} is no folder with a config.json, as save_pretrained writes it")
    kind = _kind(json.loads((job.source / "config.json").read_text(encoding="utf-8")))
    try:
        # Nothing is loaded that is code of the folder's own.
        model = getattr(transformers, kind).from_pretrained(
            job.source, attn_implementation="eager", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{job.source.name} cannot be read as {kind}: {sentence}") from error
    return convert_module(job, _plain(model.eval()), _inputs(model), ("transformers",))


def _kind(config: dict[str, Any]) -> str:
    """The class that reads the model: that of its head where it has one for classes. Raises PipelineError."""
    (architecture, *_) = config.get("architectures") or [""]
    for head in ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM"):
        if architecture.endswith(f"For{head}"):
            return f"AutoModelFor{head}"
    if architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        raise PipelineError(
            f"{architecture} writes texts token by token, which is no single run of a model; "
            "convert encoders and classifiers here"
        )
    return "AutoModel"


def _inputs(model: Any) -> list[Input]:
    import inspect

    names = inspect.signature(model.forward).parameters
    shape = ("batch", "length")
    found = [
        Input("input_ids", "int64", shape, model.config.vocab_size),
        Input("attention_mask", "int64", shape, is_mask=True),
    ]
    if "token_type_ids" in names and getattr(model.config, "type_vocab_size", 0) > 1:
        found.append(Input("token_type_ids", "int64", shape, model.config.type_vocab_size))
    return found


def _plain(model: Any) -> Any:
    """A module that answers tensors by name, without what is empty."""
    import torch

    class Plain(torch.nn.Module):  # type: ignore[misc]
        """Calls the model with the inputs by name."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> dict[str, Any]:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            found = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types)
            return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    return Plain().eval()
