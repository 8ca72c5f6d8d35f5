# One command per task; each makes the virtual environment that it needs.
#
#   make demo    train the default job on real data and show the result
#   make test    lint, types and tests (make test-slow: the long ones)
#   make bench   measure against other frameworks

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench startup lint format types pictures docs clean

help:  ## show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the virtual environment: a stamp per set of extras, so that a second call is quick ---

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Glubina needs Python 3.11 or newer; $(PYTHON) is older." \
	       "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed-%: pyproject.toml $(VENV)/made
	$(PIP) install --editable '.[$(subst +,$(comma),$*)]'
	@touch $@

comma := ,
PLOTS := $(VENV)/installed-plots
TEST  := $(VENV)/installed-plots+test
DOCS  := $(VENV)/installed-docs

# the tests go on in as many processes as there are cores, at most four
TOGETHER := --numprocesses auto --maxprocesses 4 --dist worksteal

# --- tasks ---

demo: $(PLOTS)  ## train the default job on real data and show the result
	@$(BIN)/glubina train
	@run=$$(ls -td runs/*/ | head -n 1); echo; \
	echo "Pictures:  $${run}curves.png     loss and accuracy over the epochs"; \
	echo "           $${run}confusion.png  which digits are taken for which"; \
	echo "The same figures from the saved files:  $(BIN)/glubina evaluate $$run"

test: $(TEST)  ## lint, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" $(TOGETHER)

test-slow: $(TEST)  ## the tests that take minutes, which `make test` leaves out
	$(BIN)/python -m pytest -m slow

bench: $(PLOTS)  ## measure against PyTorch, JAX, tf-keras (those that are installed)
	$(BIN)/python -m benchmarks

startup: $(PLOTS)  ## measure the import and the first steps in fresh processes
	$(BIN)/python -m benchmarks.startup

lint: $(TEST)  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(TEST)  ## set the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(TEST)  ## check the types
	$(BIN)/mypy

pictures: $(PLOTS)  ## draw the pictures of the documentation anew
	$(BIN)/python docs/activation_table.py
	$(BIN)/python docs/pictures.py

docs: $(DOCS)  ## build the documentation into site/
	$(BIN)/python -m mkdocs build --strict

clean:  ## remove what the tasks made (runs/ is kept)
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
