# Short names for what `glcic` and `dvc` do, in the virtual environment that `make setup` makes (see `glcic --help`).
# make repro      set up, run the whole pipeline on embedded synthetic faces, print the results
# make test       set up and run the tests               make check   lint, format, types
# make test-long  those that take minutes, or need Debian's packages chromium and chromium-driver
# make ui         serve the MLflow UI, to this machine alone (PORT=5000)

PYTHON ?= python3
VENV := $(CURDIR)/.venv
READY := $(VENV)/.ready
PORT ?= 5000
export PATH := $(VENV)/bin:$(PATH)

.PHONY: setup repro compare champion verify seeds test test-long check format ui lock
.DEFAULT_GOAL := repro

setup: $(READY)

# Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every start of a stage would compile torch anew.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^uv==' requirements.lock)
	$(VENV)/bin/uv pip sync --quiet --compile-bytecode --python $(VENV)/bin/python requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps --editable .
	touch $@

repro: setup
	dvc repro
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

format: setup
	ruff format .
	ruff check --fix .

ui: setup
	-@glcic sync
	@if [ -n "$$MLFLOW_TRACKING_URI" ]; then echo "the rows are in $$MLFLOW_TRACKING_URI; open it there"; else \
	echo 'Soon at http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=scores'; \
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	exec mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri sqlite:///mlflow.db; fi

lock: setup
	uv pip compile --quiet --universal --python-version 3.11 --group dev --no-header pyproject.toml -o requirements.lock
