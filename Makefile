# One word each. `make run` and `make test` work on a fresh machine with Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= huiyin-data
SPEED ?= 600

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup run test check bench golden catalogue clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.default: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.default

setup: $(VENV)/.default            ## the environment that runs Huiyin

run: setup                         ## service, worker and screens with the demo week
	$(BIN)/huiyin --data $(DATA) up --demo --demo-speed $(SPEED)

check: $(VENV)/.dev                ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check                        ## everything CI runs
	$(BIN)/pytest -n 2 --dist loadgroup

bench: $(VENV)/.dev                ## speed and memory with their baselines
	$(BIN)/huiyin bench classify
	$(BIN)/huiyin bench ingest
	$(BIN)/huiyin bench queue
	$(BIN)/huiyin bench trends

golden: $(VENV)/.dev               ## write the golden files anew; read the diff before committing
	$(BIN)/pytest tests/golden --write-golden

catalogue: $(VENV)/.dev            ## compile the message catalogue
	$(BIN)/python -m review_ui.catalogue

clean:                             ## everything that can be made again (data stays)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
