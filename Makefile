.DEFAULT_GOAL := help
.PHONY: help demo tour test fast lint lock

BIN := build/venv/bin
DEMO := build/demo/income-model
WORKFLOWS := .github/workflows/*.yml
FIND_PYTHON := import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)
export PYTHONDONTWRITEBYTECODE := 1

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

demo: build/venv/generate  ## Generate the default project into build/demo/, install it, run its pipeline, show the model
	@rm -rf build/demo
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build/demo
	@PYTHONDONTWRITEBYTECODE= $(MAKE) --no-print-directory -C $(DEMO) init
	@PYTHONDONTWRITEBYTECODE= $(MAKE) --no-print-directory -C $(DEMO) repro
	@$(BIN)/python demo.py $(DEMO)

tour: build/venv/generate  ## Live through the life of a model, from a table to retirement, in build/tour/; write docs/tour.md
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python tour.py build/tour

test: lint  ## Lint, then test the template and the projects that it generates
	@$(BIN)/python -m pytest

fast: build/venv/dev  ## Test only what needs no installed project
	@$(BIN)/python -m pytest -m "not slow"

lint: build/venv/dev  ## Check style, types and workflows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/jactionlint $(WORKFLOWS)
	@$(BIN)/zizmor --quiet --offline --persona auditor .github
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

lock: build/venv/dev  ## Write all lock files anew, with the newest versions that the ranges allow
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python lock.py

build/venv/bin/python:
	@python=$$(python3 -c '$(FIND_PYTHON)') || { echo "make: needs Python 3.11 or later as python3, found: $$(python3 --version 2>&1)" >&2; exit 1; }; \
	rm -rf build/venv; \
	"$$python" -m venv build/venv || { rm -rf build/venv; echo "make: install Python's venv module (Debian: apt install python3-venv)" >&2; exit 1; }

build/venv/generate: requirements.txt | build/venv/bin/python
	@echo "Installing cookiecutter into build/venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@touch $@

build/venv/dev: requirements-dev.txt | build/venv/bin/python
	@echo "Installing what the tests need into build/venv"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt > build/venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement build/venv/uv.txt
	@VIRTUAL_ENV=build/venv $(BIN)/uv pip install --quiet --require-hashes --compile-bytecode --requirement requirements-dev.txt
	@touch $@
