# make demo        trains the five variants on real images and draws their figures, under demo/
# make test        lint, types, import rules and every test, in two processes
# make test-quick  the same without the slow tests (pytest.mark.slow), in less than two minutes
# make bench       times training steps, captures, memory and histograms beside their peers, under benchmarks/results/
# make torture     injects faults into workers, services and databases and checks the results
# make test-containers  starts the compose file with three workers and kills one of them
# Each creates .venv and installs what it needs into it first. PYTHON names another interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
# The number of processes that run tests. Each has one thread for tensors, since two cores are the least we plan for.
LANES ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(LANES) --dist worksteal

.PHONY: demo test test-quick bench torture test-containers lint format clean

demo: .venv/installed-all
	$(BIN)/python -m service.demo

test: .venv/installed-all,test lint
	$(PYTEST)

test-quick: .venv/installed-all,test lint
	$(PYTEST) -m 'not slow'

bench: .venv/installed-all,bench
	$(BIN)/python -m benchmarks

torture: .venv/installed-all,test
	$(BIN)/python -m tests.torture

test-containers: .venv/installed-all,test
	$(BIN)/python -m tests.torture containers

lint: .venv/installed-all,test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-all,test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The target's name ends with extras of pyproject.toml.
.venv/installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "normlab needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@echo "Installing normlab[$*] into .venv (PyTorch is the large part; a few minutes the first time)"
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[$*]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
