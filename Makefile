# Two commands set up everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test fuzz kill lint bench clean

demo: $(STAMP)  ## the main job, offline, on the bundled model; writes demo/
	$(BIN)/segtune demo --out demo

test: $(STAMP)  ## the whole test suite, a process per core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

fuzz: $(STAMP)  ## a hundred thousand damages of every kind of file; hours on one core
	SEGTUNE_FUZZ=100000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto tests/fuzz

kill: $(STAMP)  ## every command killed at twenty points and typed again
	SEGTUNE_KILLS=20 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto tests/kills

lint: $(STAMP)  ## what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## the cost table of RPN at full size
	$(BIN)/python benchmarks/rpn_cost.py

# torch comes first and by its exact version: without a version, pip may choose a build with
# gigabytes of accelerator libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
