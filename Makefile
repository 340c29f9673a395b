# Everything runs in a virtual environment of its own. `make serve` needs Python ≥ 3.11, make and a
# package index that pip can reach; PYTHON=/path/to/python chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
SOURCES := agent_server tools tests benchmarks alembic docs

.DEFAULT_GOAL := help
.PHONY: help install serve dev test test-long check format bench docs lock build clean

help:
	@echo "make serve      install and start the server (ARGS='--port 9000' for more)"
	@echo "make dev        the same, reloading on every change; reads .env"
	@echo "make test       all tests; make test-long: torture, soak and fuzz as well"
	@echo "make check      format, lint, types, layers, generated documents"
	@echo "make bench      the benchmarks behind every figure in the README"
	@echo "make lock       renew requirements.lock from the index; make build: a wheel in dist/"
	@echo "make clean      remove the environment and everything generated"

serve: $(VENV)/installed
	@$(BIN)/agent-server serve $(ARGS)

dev: $(VENV)/installed
	@$(BIN)/agent-server dev $(ARGS)

install: $(VENV)/installed

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest $(ARGS)

test-long: $(VENV)/installed-dev
	$(BIN)/python -m pytest -o 'norecursedirs=.*' tests/long $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(BIN)/python -m agent_server.wire.reference --check
	$(BIN)/python docs/generate.py --check

format: $(VENV)/installed-dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: $(VENV)/installed-dev
	@set -e; for name in stream tools replay many; do \
	  echo "== benchmarks/$$name.py"; $(BIN)/python -m benchmarks.$$name; done

docs: $(VENV)/installed
	$(BIN)/python -m agent_server.wire.reference
	$(BIN)/python docs/generate.py

build: $(VENV)/installed-dev
	$(BIN)/python -m build --wheel

# A fresh environment resolves everything anew, and what it came to is written down.
lock:
	@rm -rf $(VENV)-lock
	@$(MAKE) --no-print-directory $(VENV)-lock/made VENV=$(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet -e '.[dev]'
	@{ echo "# Exact versions for reproducible installs: pip install -c requirements.lock."; \
	   echo "# Written by 'make lock'; do not edit."; \
	   $(VENV)-lock/bin/python -m pip --disable-pip-version-check freeze --exclude-editable; \
	 } > requirements.lock
	@rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: stamps make a second call instant ---------------------------------------

define complain
{ echo "make: $(1)" >&2; exit 1; }
endef

$(VENV)/made:
	@command -v "$(PYTHON)" > /dev/null 2>&1 || \
	  $(call complain,'$(PYTHON)' is not here: apt install python3 python3-venv$(comma) or make PYTHON=/path/to/python3)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  $(call complain,'$(PYTHON)' is older than Python 3.11: make PYTHON=/path/to/python3.11)
	@"$(PYTHON)" -c 'import ensurepip$(comma) venv' 2> /dev/null || \
	  $(call complain,'$(PYTHON)' cannot make virtual environments: apt install python3-venv)
	@rm -rf "$(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml requirements.lock
	@echo "installing agent-server into $(VENV) (once; about a minute)" >&2
	@$(call install,-e .)
	@touch $@

$(VENV)/installed-dev: $(VENV)/made pyproject.toml requirements.lock
	@echo "installing agent-server and its tools for development into $(VENV)" >&2
	@$(call install,-e '.[dev]')
	@touch $@ $(VENV)/installed

comma := ,

# pip is quiet; when it fails, its own error is repeated and a missing compiler is named.
define install
$(PIP) install --quiet -c requirements.lock $(1) > $(VENV)/pip.log 2>&1 || { \
  grep -E '^ *(ERROR|error):?' $(VENV)/pip.log | head -n 3 >&2; \
  if grep -qE "(gcc|cc|clang)['\"]? failed|command '.*(gcc|cc)'|Python.h|linker .cc. not found" $(VENV)/pip.log; then \
    echo "make: a package had to be compiled: apt install build-essential python3-dev" >&2; \
  else echo "make: pip failed; all it said is in $(VENV)/pip.log" >&2; fi; \
  exit 1; }
endef
