# The commands of this project. `make demo` and `make test` need a Rust toolchain; what else they need they install or name.

CARGO ?= cargo
# What a stranger sees: three pledges, a MASA, the registrar and a real ACME CA on one machine.
PLEDGES ?= 3
# What is off by default, and tested.
FEATURES := brski-registrar/otlp,brski-tests/openid

.PHONY: demo test simulation bench build packages-demo packages-test lint doc help

help:
	@echo "make demo   take $(PLEDGES) simulated pledges from factory state to a certificate of a real ACME CA"
	@echo "make test   build everything and run every test"
	@echo "make simulation  simulate the registrar RUNS times (10000) from SEED (1); make test does it 1000 times"
	@echo "make bench  measure everything beside the bare operations, and write docs/benchmarks.md"
	@echo "make lint   fmt, clippy, doc, deny"

demo: packages-demo
	$(CARGO) build --workspace --bins --locked
	target/debug/brski-lab up --pledges $(PLEDGES)

# Everything is built once, with what is off by default too; what a program says that was built without it comes last.
test: packages-test
	$(CARGO) build --workspace --bins --locked --features $(FEATURES)
	$(CARGO) test --workspace --locked --features $(FEATURES)
	$(CARGO) test --package brski-registrar --test cli --locked

# Another seed is another thousand lives of the registrar; a failure prints its operations as an expression.
RUNS ?= 10000
SEED ?= 1
simulation:
	SIMULATION_RUNS=$(RUNS) SIMULATION_SEED=$(SEED) $(CARGO) test --package brski-tests --test simulation --locked -- --nocapture every_

bench:
	@CARGO="$(CARGO)" scripts/bench

build:
	$(CARGO) build --workspace --bins --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package brski-registrar --all-targets --features otlp,openid --locked -- -D warnings
	$(CARGO) clippy --package brski-registrar --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --offline check bans licenses sources || $(CARGO) deny check bans licenses sources; \
	else \
		echo "lint: cargo-deny is not installed; skipped 'cargo deny check' (cargo install --locked cargo-deny)" >&2; \
	fi

packages-demo:
	@scripts/debian-packages demo

packages-test:
	@scripts/debian-packages test
	@scripts/python-oracles
	@scripts/go-programs
	@scripts/node-libraries
