# make demo | test | check | setup | dev | bench | bench-archiver | bench-runkey | bench-alarm | screens: each sets up all that it needs in .venv first.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.ready
DEV := .venv/.dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=

.PHONY: demo test check setup dev clients bench bench-archiver bench-runkey bench-alarm screens format clean

demo: setup
	@$(BIN)/owl demo $(if $(FOR),--for $(FOR))

test: dev
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright

setup: $(STAMP)

$(STAMP): pyproject.toml Makefile constraints.txt
	@test -n "$(PYTHON)" || { echo "owlshift needs Python 3.11, 3.12 or 3.13 with venv (Debian, Ubuntu: apt-get install python3 python3-venv)"; exit 1; }
	@echo "owlshift: making .venv with $(PYTHON) (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) --upgrade "pip>=25.1"
	@$(PIP) --constraint constraints.txt --editable ".[screens]"
	@$(BIN)/python -c "import PySide6.QtWidgets" 2>/dev/null || echo "owlshift: the screens need a system library that is missing: $$($(BIN)/python -c 'import PySide6.QtWidgets' 2>&1 | tail -1) (Debian, Ubuntu: apt-get install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1). All else works."
	@touch $(STAMP)

# what tests, checks and benchmarks need beside
dev: $(DEV)

$(DEV): $(STAMP)
	@echo "owlshift: adding what the tests need"
	@$(PIP) --constraint constraints.txt --group dev
	@touch $(DEV)

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev
	$(BIN)/python benchmarks/ca_ingest.py
	$(BIN)/python benchmarks/archive_ingest.py
	$(BIN)/python benchmarks/archive_ingest.py --max
	$(BIN)/python benchmarks/archive_size.py
	$(BIN)/python benchmarks/hv_poll.py
	$(BIN)/python benchmarks/ioc_throughput.py
	$(BIN)/python benchmarks/ioc_stability.py --minutes 10

# archive clients that cannot stand beside ours in one environment: they want another protobuf
clients: .venv-clients/.ready

.venv-clients/.ready: tests/clients/requirements.txt
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	@touch $@

bench-archiver: dev
	$(BIN)/python benchmarks/archive_size.py
	$(BIN)/python benchmarks/archive_read.py
	$(BIN)/python benchmarks/archive_operators.py
	$(BIN)/python benchmarks/archive_reports.py
	$(BIN)/python benchmarks/archive_ingest.py
	$(BIN)/python benchmarks/archive_ingest.py --max
	$(BIN)/python benchmarks/archive_many.py
	$(BIN)/python benchmarks/archive_scale.py
	$(BIN)/python benchmarks/archive_torture.py

bench-runkey: dev
	$(BIN)/owl runkey bench
	$(BIN)/python benchmarks/runkey_stand.py
	$(BIN)/python benchmarks/runkey_chips.py

bench-alarm: dev
	$(BIN)/python benchmarks/alarm_load.py
	$(BIN)/python benchmarks/alarm_log.py

screens: setup
	@$(BIN)/owl screens

clean:
	rm -rf .venv .venv-clients tests/out build dist
