# make run   a working Akela on this machine          make test   install what the tests need, then run them
# make check ruff, mypy --strict, import rules        make bench  benchmarks against other brokers
# make fuzz  a million inputs on everything that reads bytes of strangers
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 4# test processes; most tests wait for servers most of the time

.PHONY: run test check bench fuzz clean help
help:
	@head -3 Makefile | sed 's/^# //'

run: $(VENV)/installed-server
	@exec $(BIN)/akela up --demo $(ARGS)

test: $(VENV)/installed-dev
	@sh tests/install_requirements.sh $(BIN)/python
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-bench
	$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/installed-dev
	$(BIN)/python -m tests.fuzz $(ARGS)

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What is installed follows setup.cfg and pyproject.toml; an unchanged one is not installed again.
$(VENV)/installed-%: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Akela needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "installing Akela into $(VENV) (a minute or two the first time) ..."
	@{ $(BIN)/python -m pip install --disable-pip-version-check -e '.[$*]' 2>&1; echo $$? >$(VENV)/status; } | \
	  grep --line-buffered -E '^ *(Collecting|Downloading|Building|Installing|Successfully|ERROR|error)' || true
	@test "$$(cat $(VENV)/status)" = 0 || { echo "the installation failed; see above"; exit 1; }
	@touch $@
