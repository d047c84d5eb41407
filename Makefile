# make demo: from nothing to a talking portrait. make test: everything CI checks. Needs Python 3.11 or newer and the package index.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done; echo none)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help demo test lint install clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      install into .venv and make demo.mp4'
	@echo 'make test      everything CI checks: lint, types, the commands of the READMEs, tests'
	@echo 'make lint      lint and types only'
	@echo 'make install   install into .venv, with the tools for developing'
	@echo 'make clean     remove what these made'

demo: .venv/.huashen
	@$(BIN)/huashen demo --overwrite --out demo.mp4
	@echo "The video: $(CURDIR)/demo.mp4"
	@echo "Play it with any player or browser: open demo.mp4 (macOS), xdg-open demo.mp4 (Linux), ffplay demo.mp4."

test:
	@.ci/run

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

install: .venv/.dev

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo.mp4
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@if [ '$(PYTHON)' = none ]; then \
		echo "Huashen needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1). See https://www.python.org/downloads," \
			"or say which: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) lacks its venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) could not make .venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

.venv/.huashen: pyproject.toml | .venv/bin/python
	@echo "Installing Huashen and what it needs into .venv (about 450 MB; a minute or so, mostly downloading)"
	@$(PIP) install --quiet --editable . || { echo "pip could not install; its reason stands above. Is the package index reachable?" >&2; exit 1; }
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Installing Huashen with its tools for developing into .venv"
	@$(PIP) install --quiet --editable '.[dev]' || { echo "pip could not install; its reason stands above. Is the package index reachable?" >&2; exit 1; }
	@touch $@ .venv/.huashen
