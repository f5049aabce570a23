"""Makes a small model of a framework as its users save it; runs in the environment of the framework."""

import sys


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


{"transformers": transformers, "keras": keras, "paddle": paddle, "mindspore": mindspore}[sys.argv[1]]()
