# The front door. Each target sets up what it needs.

DEVICES ?= 200
FAIL ?= 0

# The last line on standard output is the program's own.
MAKEFLAGS += --no-print-directory
# A program in the foreground stops with make, also when make is killed.
WITH_MAKE := $(shell command -v setpriv >/dev/null 2>&1 && echo setpriv --pdeathsig TERM --)

.PHONY: setup demo up test check bench

setup:
	@scripts/setup

demo: setup
	@echo 'Building Waybill; the first time takes some minutes.' >&2
	@exec $(WITH_MAKE) cargo run --quiet -p waybill -- demo --devices $(DEVICES) --fail $(FAIL)

up: setup
	@echo 'Building Waybill; the first time takes some minutes.' >&2
	@exec $(WITH_MAKE) cargo run --quiet -p waybill -- up

test: setup
	cargo build --quiet -p waybill
	cargo test --quiet --workspace

check: setup
	scripts/check

bench: setup
	cargo run --release --quiet -p bench
