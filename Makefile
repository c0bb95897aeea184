.DEFAULT_GOAL := help
.PHONY: help demo tour test test-all library fast faults lint lock

BIN := build/venv/bin
LIBRARY := build/library
BESIDE := $(addprefix tests/,boosting.txt sql.txt dask.txt readers.txt)
PROJECT := {{cookiecutter.project_slug}}
MYPY := mypy --config-file= --strict --ignore-missing-imports --no-warn-return-any
DEMO := build/demo/income-model
DEMO_BY := $(foreach who,AUTHOR COMMITTER,GIT_$(who)_NAME=Demo GIT_$(who)_EMAIL=demo@example.com)
SHORT = -m "not long"
WORKFLOWS := .github/workflows/*.yml
FIND_PYTHON := import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)
export PYTHONDONTWRITEBYTECODE := 1

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: build/venv/generate  ## Generate the default project into build/demo/, install it, run its pipeline, make a version, show it
	@rm -rf build/demo
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build/demo
	@PYTHONDONTWRITEBYTECODE= $(MAKE) --no-print-directory -C $(DEMO) init
	@PYTHONDONTWRITEBYTECODE= $(MAKE) --no-print-directory -C $(DEMO) repro
	@cd $(DEMO) && export PATH="$$PWD/.venv/bin:$$PATH" $(DEMO_BY) && \
		git add --all && git commit --quiet --no-verify --message "First model" && \
		model register && model promote v1.0.0 prod --reason "the first version" && \
		{ model monitor data/census_1995.csv --labels income_over_50k --history reports/monitoring/history.jsonl || test $$? = 1; } && \
		git add --all && git commit --quiet --no-verify --message "Watched: the census of a year later" && \
		model site site
	@$(BIN)/python demo.py $(DEMO)

tour: build/venv/generate  ## Live through the life of a model, from a table to retirement, in build/tour/; write docs/tour.md
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python tour.py build/tour

test: lint library  ## Lint, then test the library, the template and the projects that it generates
	@$(BIN)/python -m pytest $(SHORT)

test-all:  ## The same on every table, way and screen: well over an hour on two cores
	@$(MAKE) --no-print-directory test SHORT=

library: $(LIBRARY)/ready  ## Test the library as it lies in the template
	@$(LIBRARY)/bin/python -m pytest tests/gitmodel $(SHORT) --numprocesses auto --dist loadscope

fast: $(LIBRARY)/ready  ## Test only what needs no installed project
	@$(BIN)/python -m pytest -m "not slow"

faults: $(LIBRARY)/ready  ## Inject faults into a project (about ten minutes): kills, full disks, damaged files, strangers
	@$(LIBRARY)/bin/python tests/faults

lint: $(LIBRARY)/ready  ## Check style, types and workflows
	@$(BIN)/ruff check --config pyproject.toml .
	@$(BIN)/ruff format --config pyproject.toml --check .
	@$(BIN)/mypy
	@MYPYPATH="$(PROJECT)/vendor" $(LIBRARY)/bin/$(MYPY) "$(PROJECT)/vendor/gitmodel" "$(PROJECT)"/src/*/*.py
	@MYPYPATH="$(PROJECT)/vendor" $(LIBRARY)/bin/$(MYPY) --platform win32 "$(PROJECT)/vendor/gitmodel"
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

# The packages of a generated project, those of an S3 remote too, what only tests need, and pytest-xdist.
$(LIBRARY)/ready: $(PROJECT)/requirements.txt $(PROJECT)/requirements-dev.txt $(BESIDE) | build/venv/dev
	@echo "Installing the packages of a generated project into $(LIBRARY) (about 1 GB, once)"
	@rm -rf build/draft
	@$(BIN)/cookiecutter . --no-input --default-config --output-dir build/draft dvc_remote=s3://bucket
	@sed -n '/^execnet==/,/[^\\]$$/p; /^pytest-xdist==/,/[^\\]$$/p' requirements-dev.txt > build/draft/xdist.txt
	@python=$$(python3 -c '$(FIND_PYTHON)') && $(BIN)/uv venv --quiet --allow-existing --python "$$python" $(LIBRARY)
	@VIRTUAL_ENV=$(LIBRARY) $(BIN)/uv pip sync --quiet --require-hashes --build-constraints build/draft/*/requirements.txt \
		build/draft/*/requirements.txt build/draft/*/requirements-dev.txt build/draft/xdist.txt $(BESIDE)
	@touch $@
