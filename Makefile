# `make run` and `make test` do everything on a fresh machine. On Windows see README.md: three plain lines.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8501

# Compiled modules are kept, whatever the machine's default: else each process, and the tests start hundreds, compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow lint lock clean help

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: $(VENV)/.installed  ## Set up, write the demo data if there is none, open the dashboard
	$(BIN)/python -m core demo --if-missing
	$(BIN)/streamlit run dashboard/Home.py --server.port $(PORT)

test: $(VENV)/.installed-dev lint  ## Set up, then lint, types, import contract and tests
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed-dev  ## The long tests that `make test` leaves out
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every package is compared with the hash in the lock file; MammoLab itself, from this folder, has none. Python compiles what it
# imports when it does so: compiling all that is installed, most of which is never imported, takes a minute.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'MammoLab needs Python 3.11 or newer, this is ' + sys.version + '. Name another one: make run PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile -r requirements-dev.lock
	touch $@

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-package mammolab -

lock:  ## Write requirements*.lock anew, after a change of requirements*.txt or constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	echo "setuptools>=77" | $(LOCK) requirements.txt -o requirements.lock
	echo "setuptools>=77" | $(LOCK) requirements.txt requirements-dev.txt -o requirements-dev.lock

clean:  ## Remove the virtual environment and tool caches; keep data and runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
