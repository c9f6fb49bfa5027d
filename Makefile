# Two commands do all the set-up on a fresh machine: `make up` runs the product, `make test` proves it.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
# Each worker has servers and a browser of its own; a file stays with one worker. `WORKERS=0` runs in one process. As many
# as there are processors: with one more it is a little faster, and calls in browsers starve. In the order of
# tests/conftest.py: xdist's own leaves files with one long test for the end, when only one worker is busy.
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
# Seconds for a test, which fails then and says where it stood; the longest takes one minute alone, three beside others.
LONGEST := 300
# The tests start the product some sixty times: its modules are compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up test tests lint format types js bench browser relay janus lock clean

up: .venv/runtime.stamp  ## Run Visavis with embedded servers and demo data; Ctrl-C stops everything.
	@exec $(BIN)/visavis up

# What takes a second comes first; the type checkers run beside the tests.
test: lint browser relay  ## Everything that must pass.
	@$(MAKE) --no-print-directory -j 3 types js tests

tests: .venv/dev.stamp
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --timeout $(LONGEST) -m "not heavy" $(PYTEST_ARGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/dev.stamp
	$(BIN)/mypy

# JavaScript is checked where Node is; the product itself needs none.
js:
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  set -e; for file in $$(find static -name '*.js'); do node --check "$$file"; done; \
	  test -d node_modules/typescript || npm ci --no-audit --no-fund --silent; \
	  node_modules/.bin/tsc --project tsconfig.json; echo "JavaScript: checked"; \
	else echo "JavaScript: Node.js is not installed, not checked"; fi

# The journeys need a real browser; the distribution's is taken.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null; \
	  else echo "The journeys need Chromium: install your distribution's package, e.g. sudo apt-get install chromium"; exit 1; fi; }

# The tests of TURN need a real coturn and skip without one. Its package starts a service where there is systemd: there
# nobody but the machine's owner should install it.
relay:
	@command -v turnserver >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -d /run/systemd/system ]; then \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends coturn >/dev/null; } \
	      || echo "coturn could not be installed: the tests of TURN will be skipped"; \
	  else echo "coturn is not installed: the tests of TURN will be skipped"; fi; }

# The peer of `make bench`; without it the figures are ours alone. It must not stay as a service.
janus:
	@command -v janus >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends janus >/dev/null \
	      && { systemctl disable --now janus || service janus stop || true; } >/dev/null 2>&1 \
	      || echo "Janus could not be installed: the SFU is measured without a peer"; \
	  else echo "To compare the SFU with Janus, install your distribution's package, e.g. sudo apt-get install janus"; fi; }

bench: .venv/dev.stamp browser janus  ## Benchmarks, as ratios where a peer is installed.
	$(BIN)/pytest -q -s -m heavy tests/media
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -q tests/media/test_fuzz.py tests/media/test_fuzz_server.py \
	  tests/availability/test_expansion.py
	$(BIN)/python -m tests.media.bench_forward
	$(BIN)/python -m tests.availability.bench_slots
	$(BIN)/python -m tests.booking.bench_crowd
	$(BIN)/python -m loadtest sfu
	$(BIN)/python -m loadtest bench
	$(BIN)/python -m tests.simulation
	$(BIN)/python -m tests.jobs.bench_jobs

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Visavis needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/runtime.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

UV = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock:  ## Recompute the lock files (needs `uv`; add --upgrade to UV to take newer releases).
	$(UV) pyproject.toml --group build -o requirements.lock
	$(UV) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## Remove what the Makefile made; the data directory var/ stays.
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/artifacts
