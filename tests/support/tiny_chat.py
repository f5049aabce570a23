"""A tiny chat model that has learnt a few answers by heart, made in about a second.

It is a Llama in the layout of onnxruntime-genai's model builder: a folder with `genai_config.json`, a graph
with GroupQueryAttention, and a tokenizer with a chat template. Its layers are drawn by chance and stay so;
only its last matrix learns: what these layers make of every place in the answers is told apart by least
squares. So no framework trains it, and what it answers depends on the whole prompt, as in a large model.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Floats = npt.NDArray[np.float32]

PAIRS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is the capital of Spain?", "The capital of Spain is Madrid."),
    ("Say hello.", "Hello! How can I help you today?"),
    ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("Name three colours.", "Red, green and blue."),
    ("What is a pod?", "A pod is the smallest unit that Kubernetes runs: containers that share an address."),
    ("What is an operator?", "An operator brings the world to the state that objects in a cluster describe."),
    ("Write JSON.", '{"name": "Ada", "age": 36}'),
    ("Grüße!", "Schöne Grüße zurück \N{EN DASH} 你好 🙂!"),
)
BEGIN, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Small enough that the bytes of "你好 🙂" are not merged into whole characters.
VOCABULARY = 400
# The margin of the learnt token over all others, in logits: a probability of about 0.9.
_MARGIN = 8.0


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama. Least squares need a `width` above the number of places in all answers."""

    width: int = 384
    hidden: int = 256
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 16
    context: int = 1024


def prompt_of(question: str) -> str:
    """What the chat template makes of one question."""
    return f"{BEGIN}user\n{question}{END}\n{BEGIN}assistant\n"


def make_tiny_chat(
    folder: Path,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    shape: Shape | None = None,
    seed: int = 0,
    *,
    adapted: bool = False,
) -> Path:
    """Write the model's folder. Without pairs its last matrix is drawn by chance too.

    An `adapted` graph takes adapters; see `write_adapter`.
    """
    shape = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _make_tokenizer()
    weights = draw_weights(shape, tokenizer.get_vocab_size(), seed)
    if pairs:
        weights["lm_head"] = _learn(weights, shape, tokenizer, pairs)
    write_model(folder, weights, shape, adapted=adapted)
    _write_tokenizer(folder, tokenizer, shape)
    return folder


def halve(folder: Path, target: Path) -> Path:
    """Write the same model in fp16, as the builder makes it for GPUs."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("model.onnx*"))
    model = onnx.load(folder / "model.onnx")
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.FLOAT:
            constant.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float16), constant.name)
            )
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, target / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    return target


def write_adapter(file: Path, folder: Path, seed: int, rank: int = 4) -> Path:
    """Write an `.onnx_adapter` of random weights for each input that the folder's graph has for them."""
    chance, weights = np.random.default_rng(seed), {}
    for wanted in onnx.load(folder / "model.onnx", load_external_data=False).graph.input:
        if ".lora_" in wanted.name:
            shape = [size.dim_value or rank for size in wanted.type.tensor_type.shape.dim]
            kind = helper.tensor_dtype_to_np_dtype(wanted.type.tensor_type.elem_type)
            values = (chance.standard_normal(shape) * 0.5 / np.sqrt(shape[0])).astype(kind)
            weights[wanted.name] = onnxruntime.OrtValue.ortvalue_from_numpy(values)
    adapter = onnxruntime.AdapterFormat()
    adapter.set_parameters(weights)
    adapter.export_adapter(str(file))
    return file


def write_model(folder: Path, weights: dict[str, Floats], shape: Shape, *, adapted: bool = False) -> None:
    """Write `model.onnx` with its weights beside it, and `genai_config.json`, as the builder does."""
    model = _build_graph(weights, shape, adapted=adapted)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    (folder / "genai_config.json").write_text(json.dumps(_genai_config(weights, shape), indent=4))


def _make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([prompt_of(question) + answer for question, answer in PAIRS], trainer)
    return tokenizer


def draw_weights(shape: Shape, vocabulary: int, seed: int) -> dict[str, Floats]:
    """Matrices as (inputs, outputs), by the names that Hugging Face gives them."""
    chance = np.random.default_rng(seed)

    def draw(inputs: int, outputs: int, gain: float = 1.0) -> Floats:
        return (chance.standard_normal((inputs, outputs)) * gain / np.sqrt(inputs)).astype(np.float32)

    weights = {"embed_tokens": chance.standard_normal((vocabulary, shape.width)).astype(np.float32)}
    query, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for layer in range(shape.layers):
        weights |= {
            # Large queries: attention that looks at few places tells prompts apart.
            f"{layer}.q_proj": draw(shape.width, query, 1.5),
            f"{layer}.k_proj": draw(shape.width, keys, 1.5),
            f"{layer}.v_proj": draw(shape.width, keys),
            f"{layer}.o_proj": draw(query, shape.width, 2.0),
            f"{layer}.gate_proj": draw(shape.width, shape.hidden),
            f"{layer}.up_proj": draw(shape.width, shape.hidden),
            f"{layer}.down_proj": draw(shape.hidden, shape.width, 2.0),
        }
    weights["lm_head"] = draw(shape.width, vocabulary, 4.0)
    return weights


def _learn(
    weights: dict[str, Floats], shape: Shape, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]
) -> Floats:
    """The last matrix: at each place of an answer the learnt token's logit is `_MARGIN`, any other 0."""
    graph = _build_graph(
        {**weights, "lm_head": np.eye(shape.width, dtype=np.float32)}, shape, all_places=True
    )
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    states, targets = [], []
    for question, answer in pairs:
        prompt = tokenizer.encode(prompt_of(question)).ids
        learnt = tokenizer.encode(answer + END).ids
        ids = np.array([prompt + learnt[:-1]], dtype=np.int64)
        states.append(session.run(["logits"], _inputs(ids, shape))[0][0, len(prompt) - 1 :])
        targets += learnt
    wanted = np.zeros((len(targets), weights["lm_head"].shape[1]), dtype=np.float64)
    wanted[np.arange(len(targets)), targets] = _MARGIN
    solution, *_ = np.linalg.lstsq(np.concatenate(states).astype(np.float64), wanted, rcond=1e-4)
    return solution.astype(np.float32)


def _inputs(ids: npt.NDArray[np.int64], shape: Shape) -> dict[str, npt.NDArray[np.generic]]:
    past = np.zeros((1, shape.kv_heads, 0, shape.head_size), dtype=np.float32)
    names = [f"past_key_values.{layer}.{part}" for layer in range(shape.layers) for part in ("key", "value")]
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), **dict.fromkeys(names, past)}


class _Graph:
    """Nodes and constants that are added one after the other.

    With `adapted` each matrix has two small ones beside it, inputs that are empty where none are given.
    """

    def __init__(self, *, adapted: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.optional: list[onnx.ValueInfoProto] = []
        self._adapted = adapted

    def add(
        self, kind: str, inputs: Sequence[str], output: str, others: Sequence[str] = (), **attributes: object
    ) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output, *others], **attributes))
        return output

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def multiply(self, values: str, name: str, matrix: Floats) -> str:
        output = self.add("MatMul", [values, self.constant(f"{name}.weight", matrix)], f"{name}/output")
        if not self._adapted:
            return output
        small = self._adapt(values, f"{name}.lora_A", (matrix.shape[0], "lora_r"))
        small = self._adapt(small, f"{name}.lora_B", ("lora_r", matrix.shape[1]))
        return self.add("Add", [output, small], f"{name}.adapted/output")

    def _adapt(self, values: str, name: str, shape: tuple[int | str, int | str]) -> str:
        weight = f"{name}.weight"
        self.optional.append(helper.make_tensor_value_info(weight, TensorProto.FLOAT, shape))
        empty = np.zeros([size if isinstance(size, int) else 0 for size in shape], dtype=np.float32)
        return self.add("MatMul", [values, self.constant(weight, empty)], f"{name}/output")

    def normalize(self, values: str, name: str, width: int) -> str:
        weight = self.constant(f"{name}.weight", np.ones(width, dtype=np.float32))
        return self.add(
            "SimplifiedLayerNormalization", [values, weight], f"{name}/output", axis=-1, epsilon=1e-5
        )


def _build_graph(
    weights: dict[str, Floats], shape: Shape, *, all_places: bool = False, adapted: bool = False
) -> onnx.ModelProto:
    """The graph; logits of the last place only, as with `prune_lm_head`, or of all."""
    graph = _Graph(adapted=adapted)
    _add_lengths(graph)
    _add_rotations(graph, shape)
    embedding = graph.constant("model.embed_tokens.weight", weights["embed_tokens"])
    state = graph.add("Gather", [embedding, "input_ids"], "embedded")
    for layer in range(shape.layers):
        own = {name.partition(".")[2]: values for name, values in weights.items() if name[0] == str(layer)}
        state = _add_layer(graph, state, own, shape, layer)
    state = graph.normalize(state, "model.norm", shape.width)
    if not all_places:
        state = graph.add("Slice", [state, *_last_place(graph)], "last")
    head = graph.constant("lm_head.weight", weights["lm_head"])
    graph.add("MatMul", [state, head], "logits")
    return _make_model(graph, shape, weights["lm_head"].shape[1], "sequence_length" if all_places else 1)


def _add_lengths(graph: _Graph) -> None:
    """What GroupQueryAttention asks for: each row's last place, and the length of the longest."""
    one = graph.constant("one", np.array([1], dtype=np.int64))
    lengths = graph.add("ReduceSum", ["attention_mask", one], "lengths", keepdims=0)
    last = graph.add("Sub", [lengths, one], "last_place_64")
    graph.add("Cast", [last], "seqlens_k", to=TensorProto.INT32)
    dimensions = graph.add("Shape", ["attention_mask"], "mask_shape")
    total = graph.add("Gather", [dimensions, graph.constant("second", np.int64(1))], "total_64")
    graph.add("Cast", [total], "total_sequence_length", to=TensorProto.INT32)


def _add_rotations(graph: _Graph, shape: Shape) -> None:
    places = np.arange(shape.context)[:, None]
    frequencies = 1 / 10_000 ** (np.arange(0, shape.head_size, 2) / shape.head_size)
    graph.constant("cos_cache", np.cos(places * frequencies).astype(np.float32))
    graph.constant("sin_cache", np.sin(places * frequencies).astype(np.float32))


def _add_layer(graph: _Graph, state: str, weights: dict[str, Floats], shape: Shape, layer: int) -> str:
    name = f"model.layers.{layer}"
    normal = graph.normalize(state, f"{name}.input_layernorm", shape.width)
    query, key, value = (graph.multiply(normal, f"{name}.{p}_proj", weights[f"{p}_proj"]) for p in "qkv")
    attended = graph.add(
        "GroupQueryAttention",
        [
            *(query, key, value, f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"),
            *("seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"),
        ],
        f"{name}.attention/output",
        [f"present.{layer}.key", f"present.{layer}.value"],
        domain="com.microsoft",
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        scale=shape.head_size**-0.5,
        do_rotary=1,
    )
    seen = graph.multiply(attended, f"{name}.o_proj", weights["o_proj"])
    state = graph.add("Add", [state, seen], f"{name}.attended")
    normal = graph.normalize(state, f"{name}.post_attention_layernorm", shape.width)
    gate = graph.multiply(normal, f"{name}.gate_proj", weights["gate_proj"])
    up = graph.multiply(normal, f"{name}.up_proj", weights["up_proj"])
    sigmoid = graph.add("Sigmoid", [gate], f"{name}.sigmoid")
    swish = graph.add("Mul", [gate, sigmoid], f"{name}.swish")
    gated = graph.add("Mul", [swish, up], f"{name}.gated")
    down = graph.multiply(gated, f"{name}.down_proj", weights["down_proj"])
    return graph.add("Add", [state, down], f"{name}.output")


def _last_place(graph: _Graph) -> list[str]:
    bounds = {"from_last": [-1], "to_end": [2**62], "of_places": [1]}
    return [graph.constant(name, np.array(value, dtype=np.int64)) for name, value in bounds.items()]


def _make_model(graph: _Graph, shape: Shape, vocabulary: int, places: str | int) -> onnx.ModelProto:
    def tensor(name: str, kind: int, dimensions: Sequence[str | int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, dimensions)

    def caches(prefix: str, length: str) -> list[onnx.ValueInfoProto]:
        dimensions = ["batch_size", shape.kv_heads, length, shape.head_size]
        return [
            tensor(f"{prefix}.{layer}.{part}", TensorProto.FLOAT, dimensions)
            for layer in range(shape.layers)
            for part in ("key", "value")
        ]

    ids = ["batch_size", "sequence_length"]
    inputs = [
        tensor("input_ids", TensorProto.INT64, ids),
        tensor("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        *caches("past_key_values", "past_sequence_length"),
        *graph.optional,
    ]
    logits = tensor("logits", TensorProto.FLOAT, ["batch_size", places, vocabulary])
    built = helper.make_graph(
        graph.nodes,
        "tiny_chat",
        inputs,
        [logits, *caches("present", "total_sequence_length")],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(built, opset_imports=opsets, ir_version=10)


def _genai_config(weights: dict[str, Floats], shape: Shape) -> dict[str, object]:
    past = {f"past_{part}_names": f"past_key_values.%d.{part}" for part in ("key", "value")}
    present = {f"present_{part}_names": f"present.%d.{part}" for part in ("key", "value")}
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "model.onnx",
        "head_size": shape.head_size,
        "hidden_size": shape.width,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **past},
        "outputs": {"logits": "logits", **present},
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
    }
    model = {
        "bos_token_id": 1,
        "context_length": shape.context,
        "decoder": decoder,
        "eos_token_id": [2],
        "pad_token_id": 0,
        "type": "llama",
        "vocab_size": weights["lm_head"].shape[1],
    }
    search = {"do_sample": False, "max_length": shape.context, "past_present_share_buffer": True}
    return {"model": model, "search": search}


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, shape: Shape) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "model_max_length": shape.context,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
