# `make serve` and `make test` need a machine with Python 3.11 or newer, a C compiler and make. Each builds its needs
# into a .venv of this tree, and is quick the second time. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS :=
COVERAGE :=

# The caller's shell may be set up for an active environment or the other line core. That is not meant for our .venv.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONOPTIMIZE PYTHONWARNINGS
unexport PYTHONSAFEPATH PYTHONNOUSERSITE PYTHONUSERBASE PYTHONPLATLIBDIR PYTHONASYNCIODEBUG PYTHONDEVMODE
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIRE_VIRTUALENV PIP_REQUIREMENT PIP_CONSTRAINT
unexport PIP_BUILD_CONSTRAINT PIP_NO_BUILD_ISOLATION PIP_NO_DEPS PIP_NO_BINARY PIP_ONLY_BINARY PIP_DRY_RUN PIP_QUIET
unexport REACTOR_PURE REACTOR_EXPECT_CORE REACTOR_AGAIN PYTEST_ADDOPTS PYTEST_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD
unexport COVERAGE_FILE COVERAGE_RCFILE COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG COVERAGE_CORE

# For example 'cpython-311': an environment that another version of Python made is not used.
TAG := $(shell '$(PYTHON)' -I -c 'import sys; print(sys.implementation.cache_tag if sys.version_info >= (3, 11) else "old")' 2>/dev/null)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# The version stands in the package.
SOURCES := pyproject.toml setup.py $(wildcard src/*.pyx src/*.h src/reactor/*.pxd) src/reactor/__init__.py
MADE := $(VENV)/.made-$(TAG)

# Timing tests that have failed while something else ran, a name a line, run again when nothing does.
AGAIN := $(CURDIR)/$(VENV)/.again
again = if [ -s $(1) ]; then echo 'These need a quiet machine, and run again, alone:'; cat $(1); \
    $(2) @$(1); fi
PYTEST := $(BIN)/python $(if $(COVERAGE),-m coverage run )-m pytest

.PHONY: help serve test suites suite-compiled suite-pure suite-once battery battery-one battery-two borrowed lint types coverage coverage-report coverage-core bench bench-quick guard docs wheel changelog release-check clean

help:
	@echo 'make serve          a line server on 127.0.0.1:7000 (ARGS="chat --port 7001", for another)'
	@echo 'make test           the suite on the compiled and on the pure line core, then the battery (ARGS="-k name", for a'
	@echo '                    part of the suite alone)'
	@echo 'make battery        what a server must survive, at the size that CI runs (REACTOR_BATTERY=full, for the whole)'
	@echo 'make borrowed       download the archives whose cases of HTTP the battery tries, too'
	@echo 'make lint           ruff: rules and format'
	@echo 'make types          mypy, strict, on src/, tests/ and examples/; stubtest; mypy and pyright on what programs see'
	@echo 'make coverage       make test under coverage, and the gate on branches'
	@echo 'make coverage-core  line coverage of the Cython line core'
	@echo 'make bench          every measurement beside every rival, into docs/bench (ARGS=--list names them)'
	@echo 'make bench-quick    what the marks need, in less than two minutes'
	@echo 'make guard          counts the instructions of the hot path (ARGS=--update, to accept them)'
	@echo 'make docs           the site of docs/ into build/docs, without the network; a warning is an error'
	@echo 'make wheel          sdist, and a wheel for each CPython here, into dist/; each is installed and tried in a fresh'
	@echo '                    environment (ARGS=--suite runs the whole suite there; PYTHONS=path:path names more Pythons)'
	@echo 'make changelog      the fragments of changelog.d/ into CHANGELOG.md (ARGS=--draft, to look at them)'
	@echo 'make release-check  what a release still lacks: addresses, the part of the changelog'
	@echo 'make clean          remove what these made, .venv included'
	@echo 'PYTHON=python3.13 makes .venv with that Python.'

# On a terminal the server gets a process group of its own, so Ctrl-C reaches it alone. It ends with 0, as does make.
serve: $(VENV)/.run
	@if $(BIN)/python -c 'import os, sys; sys.exit(os.tcgetpgrp(0) != os.getpgrp())' 2>/dev/null; \
	then set -m; $(BIN)/python -m reactor serve $(ARGS); \
	else exec $(BIN)/python -m reactor serve $(ARGS); fi

test:
	@$(MAKE) --no-print-directory suites
	@$(if $(ARGS),,$(MAKE) --no-print-directory battery)

# These tests are the same with both cores: they are about the tree, or about parts that cut no lines. They run once,
# with the compiled core.
OF_SERVING := adminpages checking command command_collect command_http config configured configuredparts servicefile servethreads \
    serving_capture serving_load serving_logformats serving_logs
OF_COLLECTING := appending datagrams formats linefile rotating
ONCE := tests/house tests/unit/defer tests/unit/interfaces tests/unit/task tests/unit/service tests/unit/sinks \
    tests/unit/compat tests/unit/porting tests/unit/test_elsewhere.py \
    tests/unit/aio/test_aiostdio.py tests/unit/aio/test_processes.py tests/parity/test_twistedsservicetests.py \
    tests/differential/test_clientservice.py $(OF_SERVING:%=tests/unit/serving/test_%.py) \
    $(OF_COLLECTING:%=tests/unit/serving/collecting/test_%.py)
TWICE := $(ONCE:%=--ignore=%)

# Three runs at once, as tests wait a lot; each prints its output whole when it ends.
suites: $(VENV)/.test
	@rm -f $(AGAIN)-compiled $(AGAIN)-pure $(AGAIN)-once $(if $(COVERAGE),.coverage .coverage.*)
	@echo 'The suite runs on the compiled and on the pure line core, side by side; each part prints when it ends.'
	@$(MAKE) --no-print-directory --keep-going -j3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
	    suite-compiled suite-pure $(if $(ARGS),,suite-once)
	@$(call again,$(AGAIN)-compiled,REACTOR_EXPECT_CORE=compiled $(PYTEST))
	@$(call again,$(AGAIN)-pure,REACTOR_PURE=1 REACTOR_EXPECT_CORE=pure $(PYTEST))
	@$(call again,$(AGAIN)-once,REACTOR_EXPECT_CORE=compiled $(PYTEST))
	@$(if $(COVERAGE),$(BIN)/coverage combine --quiet)

suite-compiled:
	@REACTOR_AGAIN=$(AGAIN)-compiled REACTOR_EXPECT_CORE=compiled $(PYTEST) --ignore=tests/battery $(or $(ARGS),$(TWICE))

suite-pure:
	@REACTOR_AGAIN=$(AGAIN)-pure REACTOR_PURE=1 REACTOR_EXPECT_CORE=pure $(PYTEST) --ignore=tests/battery $(or $(ARGS),$(TWICE))

suite-once:
	@REACTOR_AGAIN=$(AGAIN)-once REACTOR_EXPECT_CORE=compiled $(PYTEST) $(ONCE)

# After the suites, and never under coverage: it looks at times, memory and descriptors. The first half of it looks at
# none of these, and runs as two parts side by side; the rest runs alone on the machine.
BATTERY := REACTOR_EXPECT_CORE=compiled $(BIN)/python -m pytest
BATTERY_ONE := tests/battery/http/test_smuggling.py tests/battery/http/test_parserquarrel.py \
    tests/battery/http/test_answerquarrel.py tests/battery/http/test_behindproxies.py \
    tests/battery/http/test_nothingsplit.py tests/battery/http/test_nothingsplitbyclients.py \
    tests/battery/test_allocations.py tests/battery/test_exceptions.py tests/battery/test_crosstalk.py \
    tests/battery/test_nodoors.py tests/battery/test_proxyheaders.py tests/battery/test_collecting.py \
    tests/battery/test_badcertificates.py tests/battery/test_nomemory.py tests/battery/test_starttlsinjection.py
BATTERY_TWO := tests/battery/test_reentrancy.py tests/battery/test_halfclose.py tests/battery/museum \
    tests/battery/test_whatlistens.py tests/battery/test_logflood.py tests/battery/test_givinguproot.py
APART := $(patsubst %,--ignore=%,$(BATTERY_ONE) $(BATTERY_TWO))

battery: $(VENV)/.test
	@$(if $(ARGS),,$(MAKE) --no-print-directory --keep-going -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
	    battery-one battery-two)
	@rm -f $(AGAIN)-battery
	@REACTOR_AGAIN=$(AGAIN)-battery $(BATTERY) tests/battery $(or $(ARGS),$(APART))
	@$(call again,$(AGAIN)-battery,$(BATTERY))

battery-one:
	@$(BATTERY) $(BATTERY_ONE)

battery-two:
	@$(BATTERY) $(BATTERY_TWO)

# The archives of other projects whose cases the battery reads. Without them it skips these, and says so.
borrowed: $(VENV)/.test
	@$(BIN)/python -m tests.battery.http.borrowed

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy
	@$(BIN)/python .ci/checkstubs.py
	@$(BIN)/python .ci/checktypes.py

coverage:
	@$(MAKE) --no-print-directory test COVERAGE=1
	@$(MAKE) --no-print-directory coverage-report

coverage-report: $(VENV)/.test
	@$(BIN)/coverage report

coverage-core: $(VENV)/.test
	@$(BIN)/python .ci/corecoverage.py -q $(or $(ARGS),tests/unit/linecore/test_linecore.py tests/unit/test_linereceiver.py tests/unit/test_lineonlyreceiver.py)

bench: $(VENV)/.bench
	@$(BIN)/python -m bench $(ARGS)

bench-quick: $(VENV)/.bench
	@$(BIN)/python -m bench --quick $(ARGS)

guard: $(VENV)/.run
	@$(BIN)/python -m bench.guard $(ARGS)

docs: $(VENV)/.docs
	@$(BIN)/python docs/site/build.py $(ARGS)
	@$(BIN)/python docs/site/check.py
	@echo 'The site: build/docs/index.html'

wheel: $(VENV)/.dist
	@$(BIN)/python .ci/checkdist.py $(ARGS)

changelog: $(VENV)/.test
	@$(BIN)/towncrier build --version "$$($(BIN)/python -c 'import reactor; print(reactor.__version__)')" $(ARGS)

release-check: $(VENV)/.test
	@$(BIN)/python .ci/checkrelease.py

clean:
	rm -rf $(VENV) build dist htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* src/*.egg-info
	rm -f src/*.c src/reactor/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +

$(MADE):
	@test -n '$(TAG)' || { echo "No Python here: '$(PYTHON)' does not run. Name one with make PYTHON=..."; exit 1; } >&2
	@test '$(TAG)' != old || { echo "linereactor needs Python 3.11 or newer; '$(PYTHON)' is older. Name one with make PYTHON=..."; exit 1; } >&2
	@test "$$($(BIN)/python -I -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null)" = '$(TAG)' \
	    || { echo 'Making $(VENV) ...'; '$(PYTHON)' -I -m venv --clear $(VENV); }
	@touch $@

# Each stamp stands for an installation that is newer than what it was made from.
$(VENV)/.run: $(MADE) $(SOURCES)
	@echo 'Building the line core and installing linereactor into $(VENV) ...'
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.test: $(MADE) $(SOURCES)
	@echo 'Building the line core and installing linereactor and what its tests need into $(VENV) ...'
	@$(PIP) install --quiet --editable '.[test]'
	@touch $(VENV)/.run $@

$(VENV)/.docs: $(MADE) $(SOURCES)
	@echo 'Installing linereactor and what builds its site into $(VENV) ...'
	@$(PIP) install --quiet --editable '.[docs]'
	@touch $(VENV)/.run $@

$(VENV)/.dist: $(MADE) $(SOURCES)
	@echo 'Installing what checks sdist and wheels into $(VENV) ...'
	@$(PIP) install --quiet --editable '.[dist]'
	@touch $(VENV)/.run $@

# A rival that cannot be installed here is left out, and said to be so; the others are not.
$(VENV)/.bench: $(MADE) $(SOURCES)
	@echo 'Building the line core and installing linereactor and its rivals into $(VENV) ...'
	@$(PIP) install --quiet --editable '.[bench]' || \
	    { $(PIP) install --quiet --editable . && $(BIN)/python bench/install.py; }
	@touch $(VENV)/.run $@
