# What people type: each target is a few words of tools/ or of the installed commands.
PYTHON ?= python3
BIN := .venv/bin
# Rooms whose tests start hundreds of shells and commands: for make test, so that make check takes about a minute.
MANY_PROCESSES := fleet survey tools

.PHONY: setup demo test test-full check docs golden picture lock mutants clean

setup:
	@tools/setup "$(PYTHON)"

demo: setup
	@tools/demo

test: setup
	@$(BIN)/python tools/tiers.py

test-full:
	@tools/setup --full "$(PYTHON)"
	@$(BIN)/python tools/tiers.py --full

check: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/shellcheck $$(git grep -lE '^#! ?/bin/(sh|bash)' -- . ':!*.j2' ':!*.py' ':!tests/golden')
	@$(BIN)/python tools/docs.py --check
	@$(BIN)/pytest -q tests/unit $(addprefix --ignore=tests/unit/,$(MANY_PROCESSES))

.venv/ready: requirements-dev.lock pyproject.toml
	@tools/setup --python-only "$(PYTHON)"

docs: .venv/ready
	@$(BIN)/python tools/docs.py

golden: .venv/ready
	@$(BIN)/python tools/golden.py
	@$(BIN)/python tests/unit/survey/test_fixtures.py
	@$(BIN)/python tests/unit/checks/test_golden_verdicts.py

picture: .venv/ready
	@$(BIN)/python tools/picture.py

mutants: .venv/ready
	@$(BIN)/python tools/mutants.py

lock: .venv/ready
	@tools/lock

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache
