# Two commands are enough: `make demo` and `make test`. Each builds .venv when it isn't there or the lock has changed.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: bench faults setup demo up test unit integration end-to-end check format dictionary lock

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; install it or run make PYTHON=/its/path"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "error: $(PYTHON) can't make a virtual environment; install its venv package"; exit 1; }
	@echo "Installing the locked versions into .venv …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/health-pipeline demo

up: setup
	@$(BIN)/health-pipeline up

# Four at once on two cores, as tests of nights and servers wait for long; in the order of conftest.py.
PYTEST := $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder
TESTS := health_pipeline_tests

# Fast first; then those that need servers, all together, so that none waits for another.
test: unit
	$(PYTEST) $(TESTS)/integration $(TESTS)/end_to_end

unit integration end-to-end: setup
	$(PYTEST) $(TESTS)/$(subst -,_,$@)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What faults do to runs: docs/reliability.md.
faults: setup
	$(BIN)/python -m reliability $(ARGS)

# What a night and a backfill cost beside the least and the best that others could do: docs/performance.md.
SIZES ?= S M
DAYS ?= 1 30
bench: setup
	$(BIN)/python -m benchmarks $(foreach s,$(SIZES),--size $(s)) $(foreach d,$(DAYS),--days $(d)) $(ARGS)

dictionary: setup
	$(BIN)/python -m health_pipeline.tables.dictionary > docs/data-dictionary.md

# The lock is universal (every supported Python and platform) and names no index.
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-strip-extras --no-header --quiet -o requirements.lock
