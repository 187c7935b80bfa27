# What people and tools may rely on. Needs python3 >= 3.11 with venv, and make.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
# Hundreds of processes start in a run of the tests, and would compile every module of ours anew.
unexport PYTHONDONTWRITEBYTECODE
# Test processes: most tests wait for servers and clients, so more than there are cores.
JOBS   ?= 4
PARALLEL = -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo test-fast test coverage check format lock docs clean
.PHONY: test-faults test-names test-fuzz test-storage test-resume test-rclone test-days test-isolation test-siblings test-mends
.PHONY: test-posture test-clients bench bench-against

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## .venv with everything, from the hash-pinned requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed; name it: make PYTHON=python3.11 install"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) (the first time takes a minute or two) ..."
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@$(PY) -m pip check --disable-pip-version-check >/dev/null || $(PY) -m pip check
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## FTPS and the admin site on loopback, ready to try; Ctrl-C stops
	@exec $(PY) manage.py demo --stop-with-parent

test-fast: $(STAMP)  ## unit tests: no servers, no root, under a minute (docs: tests/README.md)
	@$(PY) -m pytest -m "unit and not slow" -q -n auto --dist worksteal $(ARGS)

test: $(STAMP)  ## the whole test suite
	@.ci/packages
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

coverage: $(STAMP)  ## the same, with the branches that it covers: at least 90 %
	@.ci/packages
	@$(PY) -m pytest $(PARALLEL) --cov --cov-report=term --cov-fail-under=90 $(ARGS)

test-storage: $(STAMP)  ## the storage contract on every real server; a table (ARGS="ceph --figures")
	@$(PY) -m tests.storage.real.run $(ARGS)

test-faults: $(STAMP)  ## the long crash suite: 500 kills on each storage, 10 000 uploads, 1 000 races (KILLS=n, UPLOADS=n, RACES=n)
	@.ci/packages
	@KILLS=$${KILLS:-500} UPLOADS=$${UPLOADS:-10000} RACES=$${RACES:-1000} $(PY) -m pytest -s tests/faults $(ARGS)

test-names: $(STAMP)  ## 10 000 sequences of all verbs at one's own and others' names, with kills and faults (SEQUENCES=n)
	@.ci/packages
	@SEQUENCES=$(or $(SEQUENCES),10000) $(PY) -m pytest -n 4 --dist load -rP tests/names $(ARGS)

test-fuzz: $(STAMP)  ## 1 000 000 hostile commands, 25 000 broken TLS records, 1 000 interruptions (COMMANDS=n, INTERRUPTIONS=n)
	@COMMANDS=$(or $(COMMANDS),1000000) $(PY) -m pytest -s tests/security/fuzz $(ARGS)
	@INTERRUPTIONS=$(or $(INTERRUPTIONS),1000) \
	  $(PY) -m pytest -s tests/security/test_resilience.py -k every_phase $(ARGS)

test-resume: $(STAMP)  ## 20 uploads of 200 MiB cut at random bytes, for each client (CUTS=n, MIB=n)
	@CUTS=$(or $(CUTS),20) RESUME_MIB=$(or $(MIB),200) \
	  $(PY) -m pytest tests/faults/test_resume_with_clients.py -k "resumes and not nodes" $(ARGS)

test-rclone: $(STAMP)  ## 20 runs of rclone, copy and sync of 200 files over four connections (RUNS=n, FILES=n)
	@RCLONE_RUNS=$(or $(RUNS),20) RCLONE_FILES=$(or $(FILES),200) \
	  $(PY) -m pytest tests/ftps/test_rclone.py -k lose_nothing $(ARGS)

test-days: $(STAMP)  ## deliveries on five days under temporary names: every client, mode and policy, on a directory and S3
	@.ci/packages clients
	@TEMPORARY_NAMES_ALL=1 $(PY) -m pytest tests/ftps/test_temporary_names.py $(ARGS)

test-isolation: $(STAMP)  ## 100 000 hostile names against two neighbours on three stores (NAMES=n, JOBS=n)
	@NAMES=$(or $(NAMES),100000) $(PY) -m pytest -n $(or $(JOBS),auto) -rP tests/security/test_isolation.py $(ARGS)

test-siblings: $(STAMP)  ## on each TLS profile 10 000 tries to open data channels with one's own and others' sessions (TRIES=n)
	@for profile in tls12 modern; do \
	  SIBLING_PROFILE=$$profile SIBLING_TRIES=$(or $(TRIES),10000) \
	    $(PY) -m pytest -s tests/security/test_sibling_sessions.py -k random_tries $(ARGS) || exit 1; \
	done

test-posture: $(STAMP)  ## sslyze, testssl.sh, sslscan, nmap, hydra, times of refusals; a table (ARGS=--write: into the docs)
	@.ci/packages posture
	@$(PY) -m tests.posture.run $(ARGS)

test-clients: $(STAMP)  ## 40 clients of partners on both TLS profiles; a table (ARGS="--only curl"; --write: into the docs)
	@.ci/packages clients
	@$(PY) -m tests.interop.run $(ARGS)

bench: $(STAMP)  ## tables of ratios against pure-ftpd and proftpd, run in turn (MIB=512, ROUNDS=5, ARGS=--tls13)
	@.ci/packages bench
	@BENCH_MIB=$(or $(MIB),$(BENCH_MIB)) BENCH_ROUNDS=$(or $(ROUNDS),$(BENCH_ROUNDS)) \
	  $(PY) -m tests.bench.run $(ARGS)

bench-against: $(STAMP)  ## CPU for a GB, a file, a listing and a login beside another revision of ours (REV=main, ROUNDS=15)
	@.ci/packages bench-against
	@$(PY) -m tests.bench.run --against $(or $(REV),main) --rounds $(or $(ROUNDS),15) \
	  --mib $(or $(MIB),128) --seconds 1 $(or $(ARGS),--only one_upload --only uploads \
	  --only one_download --only downloads --only small_files --only listings --only logins)

test-mends: $(STAMP)  ## take each mend of the security bar out of a copy; its tests must fail (ARGS="7 28")
	@.ci/packages
	@$(PY) -m tests.security.mends.run $(ARGS)

check: $(STAMP)  ## format, lint, types, import layers, migrations, deploy checks, docs
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@.ci/django-checks $(PY)
	@$(PY) -m sphinx -E -W --keep-going -q -b html docs docs/_build

format: $(STAMP)  ## format, mend what ruff can, write the tables of settings
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .
	@$(PY) docs/settings_tables.py

docs: $(STAMP)  ## the documentation, into docs/_build
	@$(PY) -m sphinx -W -b html docs docs/_build

lock:  ## pin the requirements anew (needs uv)
	uv pip compile pyproject.toml --extra azure --extra gcs --extra postgres --extra redis \
	  $(LOCK) -o requirements/service.txt
	uv pip compile pyproject.toml --all-extras $(LOCK) -o requirements/dev.txt
	uv pip compile tests/interop/pinned/python.in $(LOCK) -o tests/interop/pinned/python.txt

LOCK := --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url

clean:  ## remove what the targets made, .venv and the demo's data excepted
	rm -rf build dist htmlcov docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
