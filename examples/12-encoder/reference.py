"""Embed texts with transformers itself: `python reference.py FOLDER TEXTS.json EMBEDDINGS.npy`.

For an environment that has torch and transformers; `make encoder-reference` makes one.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def main() -> None:
    folder, texts, output = sys.argv[1:]
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    embeddings = []
    for text in json.loads(Path(texts).read_text(encoding="utf-8")):
        tokens = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            states = model(**tokens).last_hidden_state[0].mean(0)
        embeddings.append(torch.nn.functional.normalize(states, dim=0).numpy())
    np.save(output, np.stack(embeddings))


if __name__ == "__main__":
    main()
