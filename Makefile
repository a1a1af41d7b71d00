# `make help` lists what can be made. Everything longer than a line is a script in scripts/.
PROFILE ?= dev
ARGS ?=

.PHONY: help run build test drill bench fmt toolchain

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

run: toolchain ## build and start the service on 127.0.0.1:8000 (ARGS="--help", PROFILE=release)
	@cargo run --profile $(PROFILE) --package doorwarden-server --bin doorwarden -- serve $(ARGS)

build: toolchain ## build the program for production: target/release/doorwarden
	@cargo build --release --package doorwarden-server

test: ## formatting, lints, documentation and every test (ARGS="lints tests": only these steps)
	@scripts/test $(ARGS)

drill: ## races, kills, big tables, a cluster, full disks, wrong clocks, a fresh machine (ARGS=NAME: only these)
	@scripts/drill $(ARGS)

bench: toolchain ## measure, and write table and plot to bench/results
	@bench/run $(ARGS)

fmt: toolchain ## format the code
	@cargo fmt --all

toolchain:
	@bash -c '. scripts/common.sh && need_toolchain'
