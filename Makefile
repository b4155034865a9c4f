# Short names for what `glcic` and `dvc` do, in the virtual environment that `make setup` makes (see `glcic --help`).
# make repro      set up, run the whole pipeline on embedded synthetic faces, print the results
# make test       set up and run the tests               make check   lint, format, types, spelling
# make test-long  those that take minutes, or need Debian's packages chromium and chromium-driver
# make ui         serve the MLflow UI, to this machine alone (PORT=5000)

# The environment can be moved and copied with the project: its scripts, and the path to the code, are relative, so that
# a copy never runs the code of the folder that it was copied from. Targets are relative, too: make splits at spaces.
PYTHON ?= python3
REQUIREMENTS := requirements.lock
READY := .venv/.set-up
PORT ?= 5000
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: setup repro compare champion verify seeds test test-long check format ui lock repository unfit
.DEFAULT_GOAL := repro

setup: repository $(READY)

# A ZIP of the project is no git repository. DVC needs one, if only an empty one.
repository:
	@case "$$(pwd)" in *[:%]*) echo "error: $$(pwd): a folder's name must have no % (for MLflow) and no colon (for PATH); rename it" >&2; \
	exit 1;; esac
	@[ -e .git ] || git rev-parse --git-dir >/dev/null 2>&1 || { git init --quiet && \
	echo 'no git repository here, which DVC needs: made an empty one (git init)'; } || \
	{ echo 'error: DVC needs a git repository, but git cannot make one; install git' >&2; exit 1; }

# An environment whose interpreter is not on this machine, or that belongs to another folder, is made again.
OWN := import glcic, os, sys; sys.exit(not os.path.samefile(os.path.dirname(glcic.__file__), "src/glcic"))
UNFIT := $(shell .venv/bin/python -c '$(OWN)' 2>/dev/null || echo unfit)
FIT := grep -qs '^relocatable = true' .venv/pyvenv.cfg && .venv/bin/python -c 'import uv' 2>/dev/null

# Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every start of a stage would compile torch anew.
$(READY): requirements.lock pyproject.toml $(UNFIT) | repository
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo 'Setting up .venv: up to 3.4 GB to download, less what the cache of uv holds; 7 GB of disk; then a silent minute of compiling.'
	@$(FIT) || { rm -rf .venv && $(PYTHON) -m venv .venv && \
	.venv/bin/python -m pip install --disable-pip-version-check $$(grep '^uv==' requirements.lock) && \
	.venv/bin/python -m uv venv --quiet --allow-existing --relocatable --python .venv/bin/python .venv; }
	.venv/bin/python -m uv pip sync --compile-bytecode --python .venv/bin/python $(REQUIREMENTS)
	.venv/bin/python -m uv pip install --python .venv/bin/python --no-deps --editable .
	@[ -L .venv ] || echo ../../../../src | tee .venv/lib/python3.*/site-packages/_editable_impl_glcic.pth >/dev/null
	@touch $@

repro: setup
	@glcic check-sources
	dvc repro
	@glcic check-sources
	@glcic results
	@glcic sync

compare champion seeds verify: setup
	glcic $@

test: setup
	python -m pytest -n 2 --maxschedchunk 1 -m "not long"

test-long: setup
	python -m pytest -n 2 --maxschedchunk 1 -m long

check: setup
	ruff format --check .
	ruff check .
	mypy
	codespell

format: setup
	ruff format .
	ruff check --fix .

ui: setup
	-@glcic sync
	@if [ -n "$$MLFLOW_TRACKING_URI" ]; then echo "the runs are in $$MLFLOW_TRACKING_URI; open it there"; else \
	echo 'Soon at http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=scores'; \
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	exec mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri sqlite:///mlflow.db; fi

lock: setup
	uv pip compile --quiet --universal --python-version 3.11 --group dev --no-header pyproject.toml -o requirements.lock
