# One entry for everything; each target does the set-up that it needs. `make help` lists them.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.setup

# A set-up step is skipped while the hash of what went into it is unchanged: file times lie after a checkout or a copy.
HASH = $(shell cat $(1) | sha256sum | cut -c1-16)
LOCK_HASH := $(call HASH,requirements/dev.txt)-$(shell echo "$(CURDIR)" | sha256sum | cut -c1-8)
PACKAGE_HASH := $(call HASH,pyproject.toml feedhandler/__init__.py)
SOURCES := $(sort $(shell find protocols feedhandler adapters oms_out tools -name '*.py'))
SOURCE_HASH := $(call HASH,$(SOURCES))

LOCK_DONE := $(DONE)/dependencies-$(LOCK_HASH)
PACKAGE_DONE := $(DONE)/package-$(LOCK_HASH)-$(PACKAGE_HASH)
KERNELS_DONE := $(DONE)/kernels-$(LOCK_HASH)-$(PACKAGE_HASH)-$(SOURCE_HASH)

PEERS := .venv-peers
PEERS_DONE := $(PEERS)/.done-$(call HASH,requirements/peers.txt)

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIP_COMPILE = $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet

FUZZ := .venv-fuzz
FUZZ_DONE := $(FUZZ)/.done-$(call HASH,requirements/fuzz.txt)
FUZZ_RUNS ?= 10000000
PIP_PEERS = $(UV) pip compile --group peers --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench perf instructions ratios market peers interop fuzz lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(KERNELS_DONE) ## virtual environment, dependencies, commands, compiled kernels (skipped when unchanged)
	@:

demo: setup ## exchange, server and OMS client together; a live table, a report, and an end by itself
	@$(BIN)/feedhandler demo

test: market ## whole test suite: interpreted with branch coverage, then compiled
	@$(BIN)/python -m tools.check.suite

market: setup
	@$(BIN)/python -m tools.exchange.warmup

check: setup ## lint, format, types, layers, house rules
	@$(BIN)/python -m tools.check

bench: setup ## benchmark table
	@$(BIN)/feedhandler bench

perf: setup ## guards against hot paths that take 15 % more instructions (needs valgrind) or time than they did
	@$(BIN)/python -m pytest --quiet tests/perf

instructions: setup
	@$(BIN)/python -m pytest --quiet tests/perf/test_instructions.py

ratios: setup
	@$(BIN)/python -m pytest --quiet tests/perf/test_ratios.py

peers: $(PEERS_DONE) ## other implementations (QuickFIX compiles for minutes); make bench then shows them beside ours
	@:

interop: setup peers ## FIX sessions against QuickFIX, both ways, with gaps; best prices against itch-book
	@FEEDHANDLER_PEERS=$(PEERS) $(BIN)/python -m pytest --quiet tests/interop

fuzz: $(FUZZ_DONE) ## every parser: FUZZ_RUNS inputs, guided by coverage, on the interpreted build
	@$(FUZZ)/bin/python tests/fuzz/guided.py --all --runs $(FUZZ_RUNS)

lock: ## resolve the dependencies of pyproject.toml again and rewrite requirements/ (needs uv)
	@$(PIP_COMPILE) --upgrade --extra dev --extra plot --output-file requirements/dev.txt
	@$(PIP_COMPILE) --constraint requirements/dev.txt --output-file requirements/runtime.txt
	@$(PIP_PEERS) --output-file requirements/peers.txt
	@$(UV) pip compile pyproject.toml --group fuzz --universal --python-version 3.11 --generate-hashes --constraint requirements/dev.txt \
		--no-header --no-emit-index-url --no-emit-find-links --quiet --output-file requirements/fuzz.txt

clean: ## remove the virtual environment and every cache
	@rm -rf $(VENV) $(PEERS) $(FUZZ) fuzz-corpus build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCK_DONE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "set-up needs Python 3.11 or newer; name one with make PYTHON=python3.x")'
	@echo "set-up 1/3  virtual environment and pinned dependencies in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements/dev.txt
	@mkdir -p $(DONE) && touch $@

$(PACKAGE_DONE): | $(LOCK_DONE)
	@echo "set-up 2/3  commands feedhandler, exchange, oms-client in $(BIN)"
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@rm -f $(DONE)/package-* && touch $@

$(PEERS_DONE):
	@echo "peers       QuickFIX and others in $(PEERS)"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement requirements/peers.txt
	@touch $@

$(FUZZ_DONE):
	@echo "fuzz        atheris in $(FUZZ)"
	@$(PYTHON) -m venv --clear $(FUZZ)
	@$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: --requirement requirements/fuzz.txt
	@touch $@

$(KERNELS_DONE): | $(PACKAGE_DONE)
	@echo "set-up 3/3  kernels compiled once, then cached"
	@$(BIN)/feedhandler warmup
	@rm -f $(DONE)/kernels-* && touch $@
