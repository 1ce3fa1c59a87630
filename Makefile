# Two commands do all the set-up: `make demo` and `make test`. Needed: Python 3.11 or newer, git, make.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.filled

LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: demo test lint bench mutants lock clean
.DEFAULT_GOAL := test

demo: $(STAMP)
	@$(BIN)/pollers demo$(if $(WORKERS), --workers $(WORKERS))

test: lint
	$(BIN)/pytest --rules

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/run.py

mutants: $(STAMP)
	$(BIN)/python tests/mutants/run.py

# The first interpreter that runs and is new enough: one that is on the path may be a shim for nothing.
$(STAMP): requirements.lock pyproject.toml
	@set -e; found=; \
	for python in python3.13 python3.12 python3.11 python3.14 python3; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "pollers needs Python 3.11 to 3.14 on the path." >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$found; the first time takes a minute."; \
	if ! $$found -m venv --clear $(VENV) >/dev/null; then echo "Python's venv module is missing: on Debian, apt-get install python3-venv." >&2; exit 1; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Keeps the pins that still fit; delete requirements.lock first to take the newest of everything.
lock:
	@command -v uv >/dev/null || { echo "uv is missing: pip install uv." >&2; exit 1; }
	uv pip compile --quiet $(LOCK) --no-emit-package pollers --group dev --all-extras pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
