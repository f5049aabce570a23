"""A real model by the real builder: our texts, alone and in company, are onnxruntime-genai's token for token.

In fp32 only: with fewer bits the last of them depends on how many rows share a run. Takes minutes and, at
first, 6 GB.
"""

import json
import subprocess
from pathlib import Path

import pytest
from benchmarks.generation.own import Own
from benchmarks.generation.smollm import prepare_environment, prepare_model
from benchmarks.generation.work import make_prompts

NEW_TOKENS = 24
_PROGRAM = """
import json, sys
import onnxruntime_genai as genai
model = genai.Model(sys.argv[1])
for prompt in json.loads(sys.argv[2]):
    parameters = genai.GeneratorParams(model)
    length = len(prompt) + int(sys.argv[3])
    parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = genai.Generator(model, parameters)
    generator.append_tokens(prompt)
    while not generator.is_done():
        generator.generate_next_token()
    print(json.dumps([int(token) for token in generator.get_sequence(0)][len(prompt):]))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return prepare_environment()


@pytest.mark.timeout(3600)
def test_texts_are_those_of_the_builders_own_runtime(python: Path) -> None:
    folder = prepare_model(python, "fp32")
    prompts = [prompt[:length] for prompt, length in zip(make_prompts(5), (7, 33, 64, 90, 120), strict=True)]
    arguments = [str(python), "-c", _PROGRAM, str(folder), json.dumps(prompts), str(NEW_TOKENS)]
    printed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    wanted = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    own = Own(folder)

    assert [own.texts([prompt], NEW_TOKENS)[0] for prompt in prompts] == wanted
    assert own.texts(prompts, NEW_TOKENS) == wanted
