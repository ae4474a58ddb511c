# The front door. Each target sets up what it needs.

DEVICES ?= 200
FAIL ?= 0
ROLLBACK ?=
# Where `make build` puts the programs.
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

# The last line on standard output is the program's own.
MAKEFLAGS += --no-print-directory
# A program in the foreground stops with make, also when make is killed.
WITH_MAKE := $(shell command -v setpriv >/dev/null 2>&1 && echo setpriv --pdeathsig TERM --)

.PHONY: setup build console console-if-possible demo demo-lorawan up test test-long check fuzz-api bench bench-quick

setup:
	@scripts/setup

build: setup
	@scripts/build

# The pages under /console/. A server of `make build` shows them without another build.
console:
	@scripts/build-console

# Everything but the console works without Node.js and npm.
console-if-possible:
	@scripts/build-console || echo "The console is not built; everything else works. Try again with: make console" >&2

# KEEP=1 keeps the service up after the campaign, to look at it in the console.
KEEP ?=
demo: build console-if-possible
	@exec $(WITH_MAKE) $(PROGRAMS)/waybill demo --devices $(DEVICES) --fail $(FAIL) $(if $(filter-out 0,$(ROLLBACK)),--rollback) $(if $(filter-out 0,$(KEEP)),--keep)

# One campaign over MQTT devices and LoRaWAN devices, with a program that stands in for ChirpStack.
LORAWAN ?= 20
demo-lorawan: build console-if-possible
	@exec $(WITH_MAKE) $(PROGRAMS)/waybill demo --devices $(DEVICES) --lorawan $(LORAWAN) --network-server $(PROGRAMS)/fake-chirpstack $(if $(filter-out 0,$(KEEP)),--keep)

up: build console-if-possible
	@exec $(WITH_MAKE) $(PROGRAMS)/waybill up

test: build
	@scripts/setup-clients
	@scripts/build-console
	@scripts/setup-prometheus
	cargo test --quiet --workspace

# The same with many more cases for property tests and larger matrices; takes hours.
test-long: build
	@scripts/setup-clients
	@scripts/build-console
	@scripts/setup-prometheus
	WAYBILL_TEST_LONG=1 cargo test --quiet --workspace

check: setup
	scripts/check

# Generated requests to a real Waybill, by its OpenAPI; at most three minutes.
fuzz-api: build
	scripts/fuzz-api

# Each measurement beside its ceiling, then the service levels; see docs/bench.md. BENCH passes arguments on.
BENCH ?=
bench: setup
	cargo run --release --quiet -p bench -- $(BENCH)

# Small sizes, compared with bench/baseline.json. In the dev profile: CI has built that for the tests anyway, and what is compared are
# ratios of one run, in which a slow build counts on both sides.
bench-quick: build
	$(PROGRAMS)/bench --quick --baseline bench/baseline.json
