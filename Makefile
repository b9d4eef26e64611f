# `make demo` and `make test` are all that a newcomer needs; the rest is for those who change something.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A stamp each, so that nothing is installed twice and a changed pin is.
APP := $(VENV)/.app
DEV := $(VENV)/.dev

.DEFAULT_GOAL := help
.PHONY: help demo test check fix bench site pictures requirements clean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(APP) site  ## The guide at / and a cohort in the browser at /chat/, with time you can move
	$(BIN)/ninety demo

test: $(DEV)  ## The whole suite
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(DEV)  ## Lint, types, layers, the guide, the documented commands
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ninety check

fix: $(DEV)  ## Let the linter mend what it can
	$(BIN)/ruff check --fix

bench: $(DEV)  ## The measurements beside the others, as one table and a plot
	$(BIN)/python -m pytest -q -m bench tests/bench

site: $(APP)  ## The guide's site, strictly, into site/
	$(BIN)/ninety site build

pictures: $(DEV)  ## Draw the chats of the documentation from what the bot says today
	$(BIN)/python -m tests.pictures

requirements: $(DEV)  ## Pin what pyproject.toml asks for, with hashes
	$(BIN)/uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes \
		--no-emit-find-links --quiet --custom-compile-command "make requirements" -o requirements/app.txt
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-find-links --quiet --custom-compile-command "make requirements" -o requirements/dev.txt

clean:  ## Remove what was built and installed
	rm -rf $(VENV) site screenshots .cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ninety needs Python 3.11 or newer; try: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)

$(APP): requirements/app.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/app.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	touch $@ $(APP)
