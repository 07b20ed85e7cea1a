# Two commands need nothing but Python 3.11+: make demo, make test.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
DEV := $(VENV)/.neurodyn-dev
DOCS := $(VENV)/.neurodyn-docs
INSTALL := $(RUN) pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test docs clean

help:
	@echo "make demo     predictive coding on real digits: table, figures and data in results/predify"
	@echo "make test     ruff, mypy and pytest"
	@echo "make docs     the documentation, in docs/_build/html"
	@echo "make clean    remove the environment, builds and caches (results/ stays)"
	@echo
	@echo "The first call makes $(VENV) with python3; with another one: make test PYTHON=python3.13"

demo: $(DEV)
	$(RUN) neurodyn run predify --out results/predify

test: $(DEV)
	$(RUN) ruff check .
	$(RUN) mypy
	OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist loadfile

docs: $(DOCS)
	$(RUN) sphinx -E -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

# venv writes this file last: without it the environment is missing or half made.
$(VENV)/bin/activate:
	@command -v "$(PYTHON)" > /dev/null || { \
	  echo "neurodyn needs Python 3.11 or newer; '$(PYTHON)' was not found." >&2; \
	  echo "Install it, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "neurodyn needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1)." >&2; \
	  echo "Name a newer one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" -V)."
	@"$(PYTHON)" -m venv --clear $(VENV)

$(DEV): pyproject.toml constraints.txt | $(VENV)/bin/activate
	@echo "Installing neurodyn and its tools into $(VENV): a few minutes, more where torch is downloaded."
	@$(INSTALL) -e ".[dev]"
	@touch $@

$(DOCS): $(DEV)
	@echo "Installing the documentation's tools into $(VENV)."
	@$(INSTALL) -e ".[dev,docs]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/auto_examples docs/gen_modules docs/generated docs/sg_execution_times.rst
	find . -name __pycache__ -prune -exec rm -rf {} +
