# Each target does its own set-up on a fresh Debian or Ubuntu: see scripts/bootstrap.sh.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench fuzz clean

PYTEST := .venv/bin/pytest

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile

demo: ## boot a real machine, provision it, log in, halt it, remove it (examples/hello)
	@scripts/bootstrap.sh demo
	@scripts/demo.sh

# Guests are emulated, a core each, so the tests that boot one run apart and two at a time. What
# they boot is built while the others run; if it cannot be, they say why.
test: check ## all checks and all tests, those with real guests too
	@scripts/bootstrap.sh test
	@mkdir -p .cache
	nice -n 5 .venv/bin/python -m tests.vm.prepare >.cache/prepare.log 2>&1 & making=$$!; \
	$(PYTEST) -q -r fEs -n logical --maxprocesses 8 --dist loadgroup -m "not vm"; ended=$$?; \
	wait $$making; cat .cache/prepare.log; exit $$ended
	$(PYTEST) -q -r fEs -n 2 --dist loadgroup -m vm

check: ## linters, types and formatting
	@scripts/bootstrap.sh check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	@if command -v shellcheck >/dev/null; then set -x; shellcheck scripts/*.sh .ci/run; fi

bench: ## how fast vx is, beside the same done by hand
	@scripts/bootstrap.sh bench
	.venv/bin/python -m scripts.bench

fuzz: ## damaged input for every reader, for some minutes
	@scripts/bootstrap.sh test
	VX_FUZZ=$${VX_FUZZ:-40} $(PYTEST) -q -n logical --maxprocesses 8 tests/fuzz

clean: ## remove all that the other targets made
	@scripts/demo.sh --remove
	rm -rf .venv .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
