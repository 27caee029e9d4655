# Wardline's tasks. "make" alone lists them; docs/how-to/build.md explains. Everything downloaded or built goes to the
# cache folder, not into the checkout.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The recipes use all processors themselves and read better one after the other.
.NOTPARALLEL:

export WARDLINE_CACHE := $(abspath $(or $(WARDLINE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wardline))
# One target folder for the demo, the tests and every checkout: dependencies are compiled once.
export CARGO_TARGET_DIR ?= $(WARDLINE_CACHE)/target
# Headings tell how long the run has taken so far.
export WARDLINE_STARTED ?= $(shell date +%s)
# For example CARGO_FLAGS=--locked, which CI uses to refuse an outdated Cargo.lock.
CARGO_FLAGS ?=

heading = @tools/heading

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what building and the demo need (as root on Debian; elsewhere: list what is missing)
	$(heading) "Set up: build"
	@tools/setup build

.PHONY: setup-test
setup-test: ## install what the tests need too: qemu, other kernels, linters
	$(heading) "Set up: build and test"
	@tools/setup test

.PHONY: build
build: setup ## compile everything
	$(heading) "Build"
	cargo build --workspace $(CARGO_FLAGS)
	@echo "the programs: $(CARGO_TARGET_DIR)/debug/profile and generate"

.PHONY: demo
demo: build ## learn a live workload, print its baseline and its policy (as root)
	$(heading) "Demo"
	@tools/demo

.PHONY: test
test: setup-test lint test-unit test-e2e test-kernels ## everything that must hold before a change is merged (as root)
	$(heading) "All passed"

.PHONY: test-unit
test-unit: ## the tests that need neither root nor a kernel
	$(heading) "Unit tests"
	cargo test --workspace --exclude end-to-end $(CARGO_FLAGS)

# Chosen by name and not with --package: for one package alone cargo resolves fewer features, and would compile most
# dependencies once more.
end-to-end = $(patsubst tests/tests/%.rs,--test %,$(filter-out %/kernels.rs,$(wildcard tests/tests/*.rs)))

.PHONY: test-e2e
test-e2e: ## the tests on this machine's kernel (as root)
	$(heading) "End-to-end tests"
	cargo build --workspace $(CARGO_FLAGS)
	cargo test --workspace $(end-to-end) $(CARGO_FLAGS)

.PHONY: test-kernels
test-kernels: ## what must hold on every supported kernel, in virtual machines (after setup-test)
	$(heading) "Kernels"
	cargo build --workspace $(CARGO_FLAGS)
	cargo test --workspace --test kernels $(CARGO_FLAGS)

# The scripts are found by their first line, so that a new one is checked too; what they source is checked with them.
scripts = $(shell grep -lrE '^\#!/usr/bin/env bash' tools .ci)
cargo-deny = "$(WARDLINE_CACHE)/tools/bin/cargo-deny" --config deny.toml $(CARGO_FLAGS)
cargo-deny-checks = --hide-inclusion-graph licenses bans sources

.PHONY: lint
lint: ## layout, lints, licences, scripts; every warning is an error
	$(heading) "Lint: layout"
	cargo fmt --all --check
	cargo fmt --manifest-path profiler-ebpf/Cargo.toml --check
	! gofmt -l tests | grep .
	$(heading) "Lint: scripts"
	shellcheck --external-sources --source-path=SCRIPTDIR:SCRIPTDIR/.. $(scripts)
	shellcheck --shell=dash tools/vm.d/*
	$(heading) "Lint: licences and origin of dependencies"
	$(cargo-deny) --workspace check $(cargo-deny-checks)
	$(cargo-deny) --manifest-path profiler-ebpf/Cargo.toml check $(cargo-deny-checks)
	$(heading) "Lint: Rust"
	cargo clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	$(heading) "Lint: probes"
	@tools/bpf-cargo clippy --version || echo "skipped: the compiler of the probes comes without clippy"
	! tools/bpf-cargo clippy --version >/dev/null 2>&1 || tools/bpf-cargo clippy --release $(CARGO_FLAGS) -- -D warnings

# How long the last part of the benchmark lasts, for example 60m.
BENCH_SOAK ?= 2m

.PHONY: bench
bench: ## run the benchmarks (as root, about 10 minutes); BENCH_SOAK=60m soaks for an hour
	$(heading) "Set up: build and benchmark"
	@tools/setup bench
	$(heading) "Benchmark: writing recordings"
	cargo bench --package baselines --bench flush $(CARGO_FLAGS)
	$(heading) "Benchmark: mining path templates"
	cargo bench --package baselines --bench templates $(CARGO_FLAGS)
	$(heading) "Benchmark: importing Tetragon's events"
	cargo bench --package profiler --bench import $(CARGO_FLAGS)
	$(heading) "Benchmark: what the probes cost"
	cargo bench --package profiler --bench overhead $(CARGO_FLAGS) -- --soak "$(BENCH_SOAK)"
	@echo "keep these tables in docs/reference/overhead.md"

.PHONY: clean
clean: ## remove what was compiled (the tools and kernels of setup stay: rm -r $WARDLINE_CACHE)
	rm -rf "$(CARGO_TARGET_DIR)"
