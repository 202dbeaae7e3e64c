# Needs Python 3.11 or newer and make, nothing else. Everything is installed into .venv, from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check static format bench bench-peers clean

run: .venv/installed
	$(BIN)/modelzero climb --budget 2m

test: .venv/installed
	$(BIN)/pytest

check: static test

static: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The claims of README and docs/speed.md, in about twenty minutes; other files of benchmarks/ take longer.
bench: .venv/installed
	for claim in startup chapter_loop seeds mlp growth process tinyvgg convnet; do \
	  echo "== $$claim"; $(BIN)/python benchmarks/$$claim.py || exit 1; done

# The same training in other libraries, which get an environment of their own.
bench-peers: .venv-peers/installed
	.venv-peers/bin/python benchmarks/peers.py

.venv/installed: pyproject.toml constraints.txt scripts/make_venv.py
	$(PYTHON) scripts/make_venv.py .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-peers/installed: pyproject.toml constraints.txt scripts/make_venv.py
	$(PYTHON) scripts/make_venv.py .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]'
	touch $@

clean:
	rm -rf .venv .venv-peers .pytest_cache .mypy_cache .ruff_cache .hypothesis
