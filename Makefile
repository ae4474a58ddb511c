# The front door. Each target sets up what it needs.

DEVICES ?= 200
FAIL ?= 0

# The last line on standard output is the program's own.
MAKEFLAGS += --no-print-directory
# A program in the foreground stops with make, also when make is killed.
WITH_MAKE := $(shell command -v setpriv >/dev/null 2>&1 && echo setpriv --pdeathsig TERM --)

.PHONY: setup build demo up test test-long check bench

setup:
	@scripts/setup

build: setup
	@scripts/build

demo: build
	@exec $(WITH_MAKE) cargo run --quiet -p waybill -- demo --devices $(DEVICES) --fail $(FAIL)

up: build
	@exec $(WITH_MAKE) cargo run --quiet -p waybill -- up

test: build
	cargo test --quiet --workspace

# The same with many more cases for property tests and larger matrices; takes hours.
test-long: build
	WAYBILL_TEST_LONG=1 cargo test --quiet --workspace

check: setup
	scripts/check

bench: setup
	cargo run --release --quiet -p bench
