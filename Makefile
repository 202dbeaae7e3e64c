# Needs Python 3.11 or newer and make, nothing else. Everything is installed into .venv, from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check static format bench clean

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

bench: .venv/installed
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

.venv/installed: pyproject.toml constraints.txt scripts/make_venv.py
	$(PYTHON) scripts/make_venv.py .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
