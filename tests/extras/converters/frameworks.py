"""Makes a small model of a framework as its users save it; runs in the environment of the framework."""

import sys
from pathlib import Path


def transformers() -> None:
    """A classifier's folder."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    BertForSequenceClassification(config).save_pretrained("bert")


def keras() -> None:
    """Two inputs and a recurrent layer, in both of its formats."""
    import keras

    keras.utils.set_random_seed(0)
    series, extra = keras.Input((None, 5), name="series"), keras.Input((2,), name="extra")
    hidden = keras.layers.Bidirectional(keras.layers.GRU(6))(series)
    answer = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()([hidden, extra]))
    model = keras.Model([series, extra], answer)
    model.save("gru.keras")
    dense = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(3)])
    dense.export("saved")


def paddle() -> None:
    """What `paddle.jit.save` writes."""
    import paddle

    net = paddle.nn.Sequential(paddle.nn.Linear(10, 16), paddle.nn.ReLU(), paddle.nn.Linear(16, 3))
    net.eval()
    paddle.jit.save(net, "net", input_spec=[paddle.static.InputSpec([None, 10], "float32", "x")])


def mindspore() -> None:
    """A checkpoint of the network beside this file."""
    import mindspore
    from mindspore_net import Net

    mindspore.save_checkpoint(Net(), "net.ckpt")


def causal() -> None:
    """Language models drawn by chance, each with a text that it writes greedily."""
    import json

    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )  # fmt: skip

    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=letters)
    tokenizer.train_from_iterator(["The capital of France is Paris."], trainer)
    torch.manual_seed(0)
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0,
        "initializer_range": 0.3,
    }  # fmt: skip
    for name, model in (
        ("llama", LlamaForCausalLM(LlamaConfig(**sizes))),
        ("qwen2", Qwen2ForCausalLM(Qwen2Config(**sizes))),
    ):
        model.save_pretrained(name)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(name)
        ids = torch.tensor([tokenizer.encode("The capital of France").ids])
        with torch.inference_mode():
            written = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
            )
        text = {"prompt": ids[0].tolist(), "text": tokenizer.decode(written[0, ids.shape[1] :].tolist())}
        with Path(f"{name}.json").open("w") as file:
            json.dump(text, file)
    _adapters()


def _adapters() -> None:
    """Adapters of the Llama, of other ranks and targets, and what it writes with each."""
    import json

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    mlp = ["gate_proj", "up_proj", "down_proj"]
    for seed, (name, fields) in enumerate(
        {
            "law": {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
            "poet": {
                "r": 7, "lora_alpha": 8, "use_rslora": True, "rank_pattern": {"o_proj": 3},
                "alpha_pattern": {"layers.1.mlp.up_proj": 5}, "target_modules": ["k_proj", "o_proj", *mlp],
            },
        }.items()
    ):  # fmt: skip
        base = AutoModelForCausalLM.from_pretrained("llama", dtype=torch.float32)
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **fields)).eval()
        torch.manual_seed(seed)
        for part, weights in model.named_parameters():
            if "lora_B" in part:  # they begin as zeros
                torch.nn.init.normal_(weights, std=0.2)
        model.save_pretrained(f"llama-{name}")
        tokenizer = AutoTokenizer.from_pretrained("llama")
        with Path("llama.json").open() as file:
            prompt = json.load(file)["prompt"]
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            written = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
            )
        text = {"prompt": prompt, "text": tokenizer.decode(written[0, ids.shape[1] :].tolist())}
        with Path(f"llama-{name}.json").open("w") as file:
            json.dump(text, file)


{"transformers": transformers, "causal": causal, "keras": keras, "paddle": paddle, "mindspore": mindspore}[
    sys.argv[1]
]()
