# The front door. Each target sets up what it needs.

DEVICES ?= 200
FAIL ?= 0

.PHONY: setup demo up test check bench

setup:
	@scripts/setup

demo: setup
	@cargo run --quiet -p waybill -- demo --devices $(DEVICES) --fail $(FAIL)

up: setup
	@cargo build --quiet -p waybill
	@exec target/debug/waybill up

test: setup
	cargo build --quiet -p waybill
	cargo test --quiet --workspace

check: setup
	scripts/check

bench: setup
	cargo run --release --quiet -p bench
