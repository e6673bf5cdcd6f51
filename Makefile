# aistack: everything a developer runs. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
ARGS ?=
root := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
package := pkgs/aistack-py
load := $(package)/benchmarks/load
system = $(shell nix eval --raw --impure --expr builtins.currentSystem)
stamp := .venv/.installed
tools := .venv/.tools
bin := $(root).venv/bin

.PHONY: help demo check lint types test coverage load mutants format options docs exposure audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(stamp) ## the whole stack on this machine, without a configuration (ARGS=--once: try it and end)
	@exec .venv/bin/aistack up --docs docs $(ARGS)

check: $(tools) ## every check, in one go
	@scripts/check.sh

lint: $(stamp) ## style and the rules between the packages
	cd $(package) && $(bin)/ruff check . && $(bin)/ruff format --check . && $(bin)/lint-imports

types: $(stamp) ## mypy
	cd $(package) && $(bin)/mypy

test: $(tools) ## the tests (ARGS: more options of pytest)
	cd $(package) && $(bin)/python -m pytest $(ARGS)

coverage: $(stamp) ## how much of each room the tests of the last `make check` ran
	@$(bin)/python scripts/coverage.py --rooms $(package)/.coverage.json

load: $(tools) ## measure under load, beside the bare engine and mcp-server-qdrant (ARGS=--minutes=12)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $(load)/requirements.txt
	@test -x .venv/rival/bin/python || $(PYTHON) -m venv .venv/rival
	@.venv/rival/bin/python -m pip install --quiet --disable-pip-version-check -r $(load)/rival.txt
	@.venv/bin/python $(load) --rival $(root).venv/rival/bin/python $(ARGS)

mutants: $(tools) ## changes to the code that no test minds (ARGS: names of mutants; minutes to an hour)
	@$(bin)/python -m pip install --quiet --disable-pip-version-check \
	  -c $(package)/constraints.txt -e '$(package)[mutants]'
	cd $(package) && nice $(bin)/mutmut run $(ARGS) && $(bin)/mutmut results

format: $(stamp) ## put the code into its one format
	cd $(package) && $(bin)/ruff check --fix . && $(bin)/ruff format .

options: ## write docs/reference/options.md from the modules' options (needs Nix)
	nix build --no-link --print-out-paths .#docs.options | xargs -I% install -m 644 % docs/reference/options.md

docs: ## build this documentation as a site, result/index.html (needs Nix)
	nix build .#docs

# The check fails where the page is an old one; by then it has written the new one.
exposure: ## write docs/reference/exposure.md from the units (needs Nix and KVM)
	nix build --out-link .exposure '.#checks.$(system).hardening.driver'
	@mkdir -p .exposure-out && .exposure/bin/nixos-test-driver --output_directory .exposure-out || true
	install -m 644 .exposure-out/exposure.md docs/reference/exposure.md
	@rm -rf .exposure .exposure-out

audit: $(stamp) ## ask PyPI for advisories of the versions that we pin (needs the network)
	@scripts/audit.sh $(ARGS)

clean: ## remove what the targets above made
	rm -rf .venv .demo
	find $(package) -name __pycache__ -prune -exec rm -rf {} +
	rm -rf $(package)/.{pytest,mypy,ruff,import_linter}_cache $(package)/.hypothesis
	rm -rf $(package)/mutants $(package)/.coverage*

$(stamp): $(package)/pyproject.toml $(package)/constraints.txt
	@PYTHON='$(PYTHON)' scripts/setup-check.sh demo
	@rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c $(package)/constraints.txt -e '$(package)[embedded,test]'
	@touch $@

# Servers, a browser and the like: whoever only tries the demo needs none of them.
$(tools): $(stamp) scripts/setup-check.sh
	@PYTHON='$(PYTHON)' scripts/setup-check.sh check
	@scripts/get-promtool.sh .venv/bin
	@touch $@
