# Requires Python 3.11 or newer and make. Everything is installed into .venv, from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test quick check static format bench bench-peers clean

# One test process for each core. Threads of torch that wait for each other must not keep a core busy meanwhile.
PYTEST := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

run: .venv/installed
	$(BIN)/modelzero climb --budget 2m

test: .venv/installed
	$(PYTEST)

# The inner loop: what takes a moment only, and the golden copies.
quick: .venv/installed
	$(PYTEST) -m "not slow" tests/test_golden.py tests/test_imports.py tests/test_exported_members.py tests/data/test_options.py \
	  tests/data/test_splits.py tests/data/test_dataset.py tests/models/test_learner.py tests/models/test_models.py tests/models/test_build.py \
	  tests/runs/test_folder.py tests/runs/test_record.py tests/runs/test_spec.py tests/statistics/test_family.py \
	  tests/statistics/test_accuracy.py tests/statistics/test_comparison.py tests/training/test_checkpoint.py

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
