# The commands of this project. `make demo` and `make test` need a Rust toolchain; what else they need they install or name.

CARGO ?= cargo
# What a stranger sees: three pledges, a MASA, the registrar and a real ACME CA on one machine.
PLEDGES ?= 3

.PHONY: demo test bench build packages-demo packages-test lint doc help

help:
	@echo "make demo   take $(PLEDGES) simulated pledges from factory state to a certificate of a real ACME CA"
	@echo "make test   build everything and run every test"
	@echo "make bench  print what reading, verifying and signing cost, as ratios to the bare operations"
	@echo "make lint   fmt, clippy, doc, deny"

demo: packages-demo
	$(CARGO) build --workspace --bins --locked
	target/debug/brski-lab up --pledges $(PLEDGES)

test: packages-test
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --locked
	$(CARGO) test --package brski-registrar --features otlp --test otlp --test cli --locked

bench:
	$(CARGO) bench --package brski-voucher --bench artefacts --locked
	$(CARGO) bench --package brski-est --bench messages --locked
	$(CARGO) bench --package brski-registrar --bench store --locked
	$(CARGO) bench --package brski-tests --bench bridge --locked

build:
	$(CARGO) build --workspace --bins --locked

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package brski-registrar --all-targets --features otlp --locked -- -D warnings
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
