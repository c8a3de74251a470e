# Everything a newcomer types. Set-up runs by itself, and again only when a file with requirements changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/sembridge/r18_ms2rgb.py
# On many cores each worker would load torch once more for ever fewer tests.
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
PACKAGING := setup.py requirements/runtime.txt

.PHONY: help demo test lint docs setup setup-dev clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: setup  ## Set up, then train and test SemBridge on the embedded data set (CONFIG=... for another config)
	$(BIN)/python tools/train.py $(CONFIG)

test: setup-dev lint  ## Set up, lint, then run every test (PYTEST_ARGS='-k name' for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup-dev  ## Check style and that no room imports from a floor above
	$(BIN)/ruff check .
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## Build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

setup: $(VENV)/.runtime  ## Make .venv with what training needs

setup-dev: $(VENV)/.dev  ## Make .venv with what tests and lint need too

clean:  ## Remove .venv and whatever building left behind; results stay
	rm -rf $(VENV) build dist *.egg-info docs/_build .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("rstoolbox needs Python 3.10 or newer, and \
	$(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# A stamp is written last, so an interrupted set-up is taken up again.
$(VENV)/.runtime: $(PACKAGING) | $(BIN)/python
	$(BIN)/python -m pip install -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/tests.txt requirements/falcon.txt
	$(BIN)/python -m pip install -e '.[dev,falcon]'
	@touch $@

$(VENV)/.docs: $(VENV)/.runtime requirements/docs.txt
	$(BIN)/python -m pip install -e '.[docs]'
	@touch $@
