# Two commands matter: `make demo` and `make test`. Everything they need goes into .venv.
# --no-compile: what is imported is compiled then; compiling all of torch first costs half a minute.
PYTHON ?= python3
PIP_ARGS ?=
PY := .venv/bin/python
PORT ?= 8501

.PHONY: demo test browser postgres lint fmt types docs bench clean

demo: .venv/.runtime
	$(PY) -m precompute demo --out bundles
	@echo "Rosetta's dictionary is made meanwhile (about three minutes); its page shows it once it is there."
	@nice $(PY) -m precompute rosetta --images demo/images --number 320 --memory 4 --torch-threads 1 --out bundles \
	  --quiet > bundles/.rosetta.log 2>&1 & making=$$!; trap 'kill $$making 2>/dev/null' EXIT INT TERM; \
	  $(PY) -m pages._ui.server --bundles bundles --port $(PORT)

test: lint types browser postgres
	$(PY) -m core.bundle.schema --check
	$(PY) -m pytest -n 2 --dist worksteal --durations=40 --durations-min=4

# Chromium for the browser tests. Where it cannot be installed they are skipped, and say so.
browser:
	@command -v chromium >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null || true; \
	  else \
	    echo "The browser tests need Chromium and will be skipped; on Debian: sudo apt-get install chromium"; \
	  fi

# PostgreSQL, which labels may live in, for their tests, which start a server of their own on the loopback; Debian's
# package is told to make and start none. Where it cannot be installed those tests are skipped, and say so.
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    conf=/etc/postgresql-common/createcluster.conf; \
	    [ -e $$conf ] || { mkdir -p $$(dirname $$conf) && echo "create_main_cluster = false" >$$conf; }; \
	    apt-get update -qq && UCF_FORCE_CONFFOLD=1 DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends postgresql >/dev/null || true; \
	  else \
	    echo "The PostgreSQL tests will be skipped; on Debian: sudo apt-get install postgresql"; \
	  fi

lint: .venv/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.dev
	$(PY) -m mypy

fmt: .venv/.dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/.runtime
	$(PY) -m core.bundle.schema > docs/bundle.md

# Ten minutes; `make bench BENCH=browser` is one part of it (tests/bench.py names them).
bench: .venv/.dev browser
	ls -d bundles/demo-vit-*/bundle.json >/dev/null 2>&1 || $(PY) -m precompute demo --out bundles
	$(PY) -m tests.bench $(BENCH)

clean:
	rm -rf .venv bundles .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Unitscope needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.txt | .venv/bin/python
	$(PY) -m pip install --quiet --no-compile $(PIP_ARGS) -r requirements.txt
	touch $@

.venv/.dev: requirements.txt requirements-dev.txt | .venv/bin/python
	$(PY) -m pip install --quiet --no-compile $(PIP_ARGS) -r requirements-dev.txt
	touch $@ .venv/.runtime
