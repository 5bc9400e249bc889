# make run    set everything up, build a first language model from raw text to samples, and open the workshop
# make test   set everything up and check all of it
#
# PYTHON=python3.12   another Python (3.11 or newer)
# TORCH=cuda          PyTorch's CUDA build, for a machine with an NVIDIA GPU

PYTHON ?= python3
TORCH ?= cpu
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check clean

run: $(VENV)/.for-use
	$(BIN)/glassbox quickstart
	@if [ -t 0 ]; then exec $(BIN)/glassbox workshop; else echo "Open the workshop with: $(BIN)/glassbox workshop"; fi

test: check
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --cov --cov-report term-missing:skip-covered --cov-fail-under 90

check: $(VENV)/.for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/basedpyright

$(VENV)/.for-use: pyproject.toml constraints.txt install.py
	$(PYTHON) install.py $(VENV) --torch $(TORCH)
	@touch $@

$(VENV)/.for-tests: pyproject.toml constraints.txt install.py
	$(PYTHON) install.py $(VENV) --torch $(TORCH) --for-tests
	@touch $@ $(VENV)/.for-use

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage* build dist
