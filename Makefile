# make demo    trains the five variants on real images and draws them, under demo/
# make test    proves that it works: lint, types, import rules, tests
# make bench   measures training steps, looking, memory and counting beside their peers, under benchmarks/results/
# make torture hurts workers, the service and the databases at random; one line each, under benchmarks/results/
# make test-containers brings the compose file up with three workers and kills one
# All make .venv and install into it first. PYTHON names another interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench torture test-containers lint format clean

demo: .venv/installed
	$(BIN)/python -m service.demo

test: .venv/installed-for-tests lint
	$(BIN)/python -m pytest

bench: .venv/installed-for-benchmarks
	$(BIN)/python -m benchmarks

torture: .venv/installed-for-tests
	$(BIN)/python -m tests.torture

test-containers: .venv/installed-for-tests
	$(BIN)/python -m tests.torture containers

lint: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "normlab needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@echo "Installing into .venv (PyTorch is the large part; a few minutes the first time)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --editable .
	@touch $@

.venv/installed-for-tests: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[test]'
	@touch $@

.venv/installed-for-benchmarks: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[bench]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
