# The two commands that matter are `make run` and `make test`. Each sets up .venv by itself.

PYTHON ?= $(firstword $(foreach v,3.12 3.13 3.11,$(shell python$(v) --version >/dev/null 2>&1 && echo python$(v))) python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check format bench use-chat autobahn docs docs-serve up watch down lock clean

run: .venv/run.stamp ## Serve at http://127.0.0.1:8000 on the embedded default
	@exec $(BIN)/parley serve --migrate

test: .venv/dev.stamp ## Every test
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: .venv/dev.stamp ## Formatting, lint, types, import contracts, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit tests/test_architecture.py

format: .venv/dev.stamp ## Format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev.stamp ## Measure, as ratios taken in one run
	$(BIN)/python -m benchmarks

use-chat: ## Build the AI SDK's page anew that tests/browser/test_use_chat.py drives (needs Node.js and npm)
	cd tests/browser/useChat && npm ci --no-audit --no-fund && npm run build && rm -rf node_modules

autobahn: .venv/dev.stamp ## Autobahn's fuzzing client against the WebSockets: WSTEST=its program, see tests/autobahn.py
	$(BIN)/python -m tests.autobahn $(WSTEST)

docs: .venv/docs.stamp ## The documentation as a site, in site/; broken links and anchors stop it
	$(BIN)/python docs/website/build.py

docs-serve: docs ## The same at http://127.0.0.1:8001
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8001

COMPOSE := docker compose --file deploy/compose.yaml

up: deploy/.env ## The production path in containers: PostgreSQL, MongoDB, Redis, web and worker
	$(COMPOSE) up --build --detach --wait web
	$(COMPOSE) up --detach --no-deps worker scheduler
	@echo "Parley is at http://$$($(COMPOSE) port web 8000)"

watch: up ## The same with Prometheus and Grafana beside it
	$(COMPOSE) --profile monitoring up --detach --no-deps prometheus grafana
	@echo "Grafana is at http://$$($(COMPOSE) --profile monitoring port grafana 3000): admin, GRAFANA_PASSWORD of deploy/.env"

down: ## Stop the containers; their data is kept
	$(COMPOSE) --profile monitoring down

# Made once: the databases know these passwords from then on.
deploy/.env:
	@umask 077 && for name in POSTGRES_PASSWORD MONGO_PASSWORD REDIS_PASSWORD PARLEY_SECRET_KEY METRICS_TOKEN GRAFANA_PASSWORD; do \
		echo "$$name=$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; \
	done > $@.new && mv $@.new $@

.venv/run.stamp: requirements.lock
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

.venv/docs.stamp: .venv/run.stamp requirements-docs.lock
	$(PIP) install --require-hashes -r requirements-docs.lock
	@touch $@

UV_COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url

lock: ## Resolve the dependencies anew (needs uv)
	$(UV_COMPILE) pyproject.toml --group build -o requirements.lock
	$(UV_COMPILE) -c requirements.lock --group dev -o requirements-dev.lock
	$(UV_COMPILE) -c requirements.lock -c requirements-dev.lock --group docs -o requirements-docs.lock

clean: ## Remove what the commands above made, the data of `make run` excepted
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .autobahn
