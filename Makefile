# `make demo` shows what the template renders; `make test` tests it; the rest is for maintainers.

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help demo test lint lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/ready ## render the default application, test it, run it and send it an event
	@./demo.sh

test: $(VENV)/ready ## test the template and what it renders
	pytest

lint: $(VENV)/ready ## check the template's own code
	ruff check
	ruff format --check
	mypy
	yamllint --strict .
	shellcheck demo.sh .ci/run template/scripts/venv.sh

lock: $(VENV)/ready ## pin the newest versions, here and in what is rendered
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --upgrade \
		--custom-compile-command "make lock" --group dev --output-file requirements.txt
	npm install --package-lock-only --omit-lockfile-registry-resolved
	python lock.py

clean: ## delete what was made here
	rm -rf $(VENV) node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/ready: requirements.txt package-lock.json template/scripts/venv.sh
	@template/scripts/venv.sh $(VENV) 3.13 requirements.txt
	@npm ci --silent --no-audit --no-fund
	@touch $@
