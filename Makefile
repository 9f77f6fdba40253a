# Everything runs from a checkout: `make help` lists the targets.
SHELL := /bin/bash
BIN := .venv/bin
KERNEL ?= 6.1
PYTEST_FLAGS ?=
# What makes and checks the repository draws on what the tests have.
TOOL := PYTHONPATH=tests:tests/vm $(BIN)/python -m tools
CAPTURE := tests/replay/data/debian-6.1.ksmtrace

RUN_PACKAGES := python3-bpfcc python3-venv
TEST_PACKAGES := qemu-system-x86 busybox-static kmod xz-utils bpftool gcc libc6-dev prometheus prometheus-node-exporter curl chromium \
	groff-base zsh fish
# What builds and tries packages.
PACKAGING_PACKAGES := debhelper lintian mmdebstrap
# Other tracers, to compare costs with.
BENCH_PACKAGES := bpftrace trace-cmd linux-perf

.PHONY: help run check test fuzz ends guests test-all lint type fix docs site dashboards pictures vm vm-all bench bench-probes accept golden dist deb roots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/ready ## set up, and trace a demo on this machine's own kernel for 20 s
	@$(BIN)/ksmtrace demo; status=$$?; \
	if [ $$status -eq 3 ]; then \
		echo "This host cannot be traced (see above): replaying the capture $(CAPTURE) instead."; \
		$(BIN)/ksmtrace replay $(CAPTURE); \
	else exit $$status; fi

# Tests that have KSM or a guest to themselves run one by one, all others side by side; a failure of
# the one does not hide the other's.
ALONE := tests/live tests/vm tests/soak tests/roots
# The share of each property's examples that is tried.
EXAMPLES ?= 0.3
# Seconds for which the soak traces, beside the tests that leave KSM alone.
SOAK ?= 300
check: .venv/ready-test lint ## format, lint, types and the unit tests of what differs from main
	@$(BIN)/pytest -q -m "not slow" --examples 0.03 --numprocesses auto $$($(TOOL).changed)

test: .venv/ready-test lint ## set up, and test on this machine and, shortly, in one guest
	@status=0; said=$$(mktemp); \
	$(BIN)/pytest -q $(PYTEST_FLAGS) --soak $(SOAK) tests/soak >$$said 2>&1 & soak=$$!; \
	$(BIN)/pytest -q $(PYTEST_FLAGS) --examples $(EXAMPLES) --numprocesses auto --dist worksteal \
		$(ALONE:%=--ignore=%) || status=1; \
	wait $$soak || status=1; cat $$said; rm -f $$said; \
	$(BIN)/pytest -q $(PYTEST_FLAGS) tests/live tests/vm/test_smoke.py || status=1; \
	exit $$status

# Of each target; a find ends its run, and is kept in tests/fuzz/found.
SECONDS ?= 300
fuzz: .venv/ready-test ## fuzz every reader, or TARGET=..., for SECONDS each
	@status=0; \
	for target in $(or $(TARGET),$$(PYTHONPATH=tests $(BIN)/python -c "import fuzz; print(*fuzz.TARGETS)")); do \
		echo "== $$target"; \
		PYTHONPATH=tests $(BIN)/python -m fuzz.run $$target $(SECONDS) || status=1; \
	done; exit $$status

# What rests on dependencies most, without KSM, bcc and guests: a minute at each end.
ENDS := tests/unit/capture tests/unit/serving tests/unit/probemap tests/unit/drawing tests/unit/report \
	tests/unit/test_session.py tests/unit/test_figures.py tests/unit/engine/test_checksum.py \
	tests/unit/workload/test_file_bad_input.py tests/unit/plugins/test_prometheus.py \
	tests/replay/test_bundled_capture.py
ENDS_NEED := hypothesis jsonschema pytest pytest-timeout pytest-xdist pyte trustme
# One that runs: a name on the path may be a stand-in of pyenv's that does not.
NEWER_PYTHON ?= $(shell for python in python3.13 "$$(pyenv prefix 3.13 2>/dev/null)/bin/python3.13"; do \
	"$$python" -c "" 2>/dev/null && echo "$$python" && break; done)

ends: .venv/ready-test ## short tests with the lowest versions of all dependencies, and by Python 3.13
	@rm -rf build/lowest build/newer; mkdir -p build; $(TOOL).lowest > build/lowest.txt
	@/usr/bin/python3 -m venv build/lowest
	@build/lowest/bin/pip install -qq --only-binary :all: -c build/lowest.txt -r build/lowest.txt $(ENDS_NEED)
	@build/lowest/bin/pip install -qq --no-deps --editable .
	@echo "== the lowest versions, $$(build/lowest/bin/python --version)"
	@build/lowest/bin/python -m pytest -q -p no:cacheprovider -m "not slow" --examples 0.03 -n auto $(ENDS)
ifeq ($(NEWER_PYTHON),)
	@echo "== Python 3.13 is not here: not tested"
else
	@$(NEWER_PYTHON) -m venv build/newer
	@build/newer/bin/pip install -qq --editable '.[report]' $(ENDS_NEED)
	@echo "== the newest versions, $$(build/newer/bin/python --version)"
	@build/newer/bin/python -m pytest -q -p no:cacheprovider -m "not slow" --examples 0.03 -n auto $(ENDS)
endif

guests: .venv/ready-test ## run tests/live in guests of the kernels that CI boots, at once
	$(BIN)/pytest -q $(PYTEST_FLAGS) tests/vm/test_guests.py

test-all: .venv/ready-test ## every test with every example, and tests/live in a guest of every kernel
	@status=0; \
	$(MAKE) test EXAMPLES=1 SOAK=3600 || status=1; \
	$(MAKE) roots || status=1; \
	$(MAKE) vm-all || status=1; \
	exit $$status

lint: .venv/ready-test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) -s type

type: .venv/ready-test ## mypy
	@$(TOOL).check_types

fix: .venv/ready-test ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/ready-test ## write what is made of docs from the code
	$(TOOL).docs.probes
	$(TOOL).docs.variants
	$(TOOL).docs.uksm
	$(TOOL).docs.cmd
	$(TOOL).docs.metrics
	$(TOOL).docs.reference
	$(TOOL).docs.documents
	$(TOOL).docs.reasons
	$(TOOL).docs.events
	$(TOOL).docs.hooks
	$(TOOL).docs.tables
	$(TOOL).docs.needs
	$(TOOL).docs.architecture
	$(TOOL).screen

site: .venv/ready-test ## build the site of documents into build/site; a broken link fails
	@$(TOOL).site && echo "open build/site/index.html"

dashboards: .venv/ready-test ## write the dashboards from tools/dashboards
	$(TOOL).dashboards.generate

pictures: .venv/ready-test ## draw docs/pictures from what a real Prometheus answers, in four minutes
	$(TOOL).pictures

screens: .venv/ready-test ## draw every view of a CAPTURE as PNG, in three sizes, dark and light, into DIR
	$(TOOL).screen $(or $(DIR),out/screens) $(CAPTURE)

vm: .venv/ready-test ## run tests/live in a guest: make vm KERNEL=6.1
	$(BIN)/python tests/vm/guest.py --limit 7200 $(KERNEL)

vm-all: .venv/ready-test ## run tests/live in a guest of every kernel in tests/vm/kernels.toml
	@for kernel in $$(sed -n 's/^name = "\(.*\)"/\1/p' tests/vm/kernels.toml); do \
		echo "== $$kernel"; $(BIN)/python tests/vm/guest.py --limit 7200 $$kernel || failed="$$failed $$kernel"; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

bench: .venv/ready-test ## measure what the documents claim; medians
	$(BIN)/python tests/bench/bench.py
	$(BIN)/python tests/bench/engine.py
	$(BIN)/python tests/bench/replay.py
	$(BIN)/python tests/bench/scrape.py
	$(BIN)/python tests/bench/estimate.py speed
	$(BIN)/python tests/bench/estimate.py slowing
	$(BIN)/python tests/bench/whatif.py
	@$(MAKE) -s bench-probes

# Every kernel of tests/vm/kernels.toml, or the one that the command line names.
bench-probes: .venv/ready-test ## what tracing costs, in guests, in instructions: make bench-probes KERNEL=6.1
	$(call install,$(BENCH_PACKAGES))
	$(BIN)/python tests/bench/probes.py $(if $(findstring command,$(origin KERNEL)),$(KERNEL))

accept: .venv/ready-test ## take what replay answers to the bundled capture as what it must answer
	$(TOOL).accept

golden: .venv/ready-test ## record the bundled capture again, in a guest, and its expected answer
	$(BIN)/python tests/vm/guest.py 6.1 -- $(CURDIR)/$(BIN)/pytest tests/live/test_full_tier.py -k every_number --in-guest -q -s \
		-p no:cacheprovider --capture-to $(CURDIR)/.vm/everything.ksmtrace
	$(TOOL).compact .vm/everything.ksmtrace $(CAPTURE)
	cp .vm/everything.ksmtrace.json $(CAPTURE).json
	cp .vm/ksmtrace.prom $(CAPTURE).prom

dist: .venv/ready-test ## build the wheel and try it in a clean virtualenv
	rm -rf build dist
	$(BIN)/pip wheel -qq --no-deps -w dist .
	/usr/bin/python3 -m venv --system-site-packages build/try
	build/try/bin/pip install -qq dist/*.whl
	cd / && $(CURDIR)/build/try/bin/ksmtrace replay $(CURDIR)/$(CAPTURE)

deb: .venv/ready-test ## build Debian packages for bookworm and trixie, or RELEASE=..., into dist/
	$(call install,$(PACKAGING_PACKAGES))
	@$(TOOL).package.deb $(RELEASE)

roots: .venv/ready-test ## install, run, upgrade and purge them in clean roots of both releases, in half an hour
	$(call install,$(PACKAGING_PACKAGES))
	$(BIN)/pytest -q $(PYTEST_FLAGS) tests/roots

clean: ## remove what was built
	rm -rf .venv .vm build dist *.egg-info

# apt only when something is missing, and only as root: without it, what is there has to do.
define install
	@missing=; for package in $(1); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		echo "installing$$missing"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null || exit 1; \
	elif [ -n "$$missing" ]; then \
		echo "not root, going on without:$$missing"; \
	fi
endef

.venv/ready: pyproject.toml Makefile
	$(call install,$(RUN_PACKAGES))
	@echo "making .venv, and installing what ksmtrace needs into it"
	@/usr/bin/python3 -m venv --system-site-packages .venv
	@$(BIN)/pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/pip install -qq --editable '.[report,graph]'
	@touch $@

.venv/ready-test: .venv/ready
	$(call install,$(TEST_PACKAGES))
	@$(BIN)/pip install -qq --editable '.[report,graph]' --group dev --group vm
	@touch $@
