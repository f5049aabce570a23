"""The trained model as one ONNX graph: a prompt goes in with how to draw, the text that follows comes out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from translator.pieces import BEGIN, END, Vocabulary

from modelservice_pipeline.text.generate import Pieces, State, generate, sampler
from modelservice_pipeline.text.graph import FLOAT, INT64, STRING, Graph, Value
from modelservice_pipeline.text.recurrent import Gru, linear
from modelservice_pipeline.text.tokenizer import load_tokenizer
from writer.model import Writer

MOST_WRITTEN = 200
INPUTS = {"prompt": STRING, "max_tokens": INT64, "temperature": FLOAT, "top_k": INT64, "seed": INT64}
OUTPUT = "text"


def build_onnx(model: Writer, vocabulary: Vocabulary, tokenizer: Path, metadata: Mapping[str, str]) -> bytes:
    """Build the graph; the same input gives the same bytes.

    Inputs, each [N]: `prompt`, string; `max_tokens`, int64, at most `MOST_WRITTEN`; `temperature`, float32,
    0 for the piece with the highest score; `top_k`, int64, 0 for all; `seed`, int64. Output: `text`, string
    [N], what follows the prompt.
    """
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = Graph("writer")
    inputs = {name: graph.input(name, datatype, ["N"]) for name, datatype in INPUTS.items()}
    layer = Gru.from_torch(weights, "layer")
    embedding = graph.constant(weights["embedding.weight"])

    def step(before: Value, state: State) -> tuple[Value, State]:
        after = layer.step(embedding.gather(before) * model.scale, state[0])
        return graph.op("Gemm", linear(after, weights, "output"), embedding, weights["bias"], transB=1), (
            after,
        )

    prompt = load_tokenizer(tokenizer).encode(graph, inputs["prompt"])
    states, _ = layer.read(embedding.gather(prompt.ids) * model.scale, prompt.lengths)
    place = graph.range(prompt.ids.size(1)).unsqueeze(0)
    last = place.equals((prompt.lengths - 1).unsqueeze(1))
    # The last piece of the prompt is read by the loop's first step, from the state before it.
    before_last = place.equals((prompt.lengths - 2).unsqueeze(1)).cast(FLOAT).unsqueeze(2)
    text = generate(
        step,
        ((states * before_last).sum(1),),
        Pieces(vocabulary.texts, BEGIN, END),
        graph.op("Min", inputs["max_tokens"], np.array(MOST_WRITTEN)),
        sampler(inputs["temperature"], inputs["top_k"], inputs["seed"], len(vocabulary)),
        first=graph.where(last, prompt.ids, 0).sum(1),
    )
    graph.output(OUTPUT, text, STRING, ["N"])
    proto = graph.model()
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
