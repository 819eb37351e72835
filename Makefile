# NOVA=31 or NOVA=34 selects one Nova release; PYTHON=... the interpreter (3.11 or newer).
.DEFAULT_GOAL := help
.PHONY: help demo cloud test test-full test-unit test-functional test-gpu-host test-cloud lint format sample bench pictures docs constraints clean
# The recipes of the environments change files that others read: one at a time.
.NOTPARALLEL:

# An interpreter may be named and yet not start (pyenv's shims): try each.
PYTHONS := python3.13 python3.12 python3.11 python3
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for python in $(PYTHONS); do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; exit; fi; done; echo python3)
endif

RELEASES := $(or $(NOVA),31 34)
RELEASE := $(lastword $(or $(NOVA),34))
BIN := .venv/nova-$(RELEASE)/bin
VENV = $(PYTHON) tools/venv.py
SAMPLE := etc/nova_gpu_passthrough.conf.sample
GENERATE_SAMPLE = $(BIN)/oslo-config-generator \
	--config-file etc/oslo-config-generator/nova_gpu_passthrough.conf

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r target text; do printf '  make %-16s %s\n' "$$target" "$$text"; done

demo:  ## audit and configure a GPU host, place GPU servers with and without filter and weigher
	@$(VENV) nova-$(RELEASE)
	@$(BIN)/python -m tests.demo.host
	@$(BIN)/python -m tests.demo

test:  ## lint, unit and functional tests with both Nova releases, virtual GPU server, real cloud
	@$(PYTHON) tools/run_tests.py lint unit functional gpu_host cloud --nova $(RELEASES)

test-full:  ## every test with both Nova releases and 10,000 random hosts: takes hours
	@$(PYTHON) tools/run_tests.py lint unit functional gpu_host cloud --nova $(RELEASES) --full

test-unit:  ## unit tests with both Nova releases
	@$(PYTHON) tools/run_tests.py unit --nova $(RELEASES)

test-functional:  ## functional tests with both Nova releases
	@$(PYTHON) tools/run_tests.py functional --nova $(RELEASES)

test-gpu-host:  ## tests in a virtual GPU server (QEMU, Debian packages)
	@$(PYTHON) tools/run_tests.py gpu_host --nova $(RELEASE)

test-cloud:  ## tests on a real control plane: MariaDB, RabbitMQ, Keystone, Placement, Nova
	@$(PYTHON) tools/run_tests.py cloud --nova $(RELEASE)

cloud:  ## start that control plane and keep it until Ctrl-C
	@test -f .venv/cloud-34/complete || echo 'Installing all services into .venv/cloud-34: once, 1 to 3 min.'
	@$(VENV) cloud-34
	@.venv/cloud-34/bin/python -m tests.cloud

lint:  ## style, types, and whether the option sample is up to date
	@$(VENV) nova-$(RELEASE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@mkdir -p test-results
	$(GENERATE_SAMPLE) --output-file test-results/sample
	@diff -u $(SAMPLE) test-results/sample || \
		{ echo '$(SAMPLE) is out of date: run "make sample".' >&2; exit 1; }

format:  ## let ruff sort imports and format the code
	@$(VENV) nova-$(RELEASE)
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

sample:  ## write the sample of the configuration options
	@$(VENV) nova-$(RELEASE)
	$(GENERATE_SAMPLE)

bench:  ## run the benchmarks
	@$(VENV) nova-$(RELEASE)
	@$(BIN)/python -m tests.benchmarks

pictures:  ## make the pictures of README and documentation (Chromium)
	@$(VENV) nova-$(RELEASE)
	@$(BIN)/python -m tests.pictures

docs:  ## build the documentation into doc/build/html
	@$(VENV) nova-$(RELEASE)
	$(BIN)/sphinx-build -W --keep-going -b html doc/source doc/build/html

constraints:  ## pin the newest versions that fit both Nova releases, and those of the real cloud
	@$(VENV) uv
	for release in $(RELEASES); do \
		.venv/uv/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
			--no-emit-index-url --no-annotate --custom-compile-command 'make constraints' \
			--extra scheduler --extra simulate --extra test --extra lint --extra doc \
			constraints/nova-$$release.in setup.py \
			--output-file constraints/nova-$$release.txt || exit; \
	done
	.venv/uv/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command 'make constraints' \
		--constraint constraints/nova-34.txt --extra scheduler --extra simulate --extra test \
		constraints/cloud-34.in setup.py --output-file constraints/cloud-34.txt

clean:  ## remove environments, caches and everything that was built
	rm -rf .venv .cache .tox .stestr .hypothesis .mypy_cache .pytest_cache .ruff_cache .eggs build dist \
		doc/build releasenotes/build test-results AUTHORS ChangeLog *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
