# The targets below are the project's whole interface; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:
.SUFFIXES:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

export GOTOOLCHAIN ?= local
TOOLS := bin/tools
VERSION = $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS = -X github.com/cellar-commerce/cellar/internal/telemetry.Version=$(VERSION)
# Packages whose tests need the built programs; `make e2e` runs them.
E2E := ./e2e
ARGS ?=
# Runs a command with a throw-away PostgreSQL.
SHARED := go run ./internal/sqldb/sqldbtest/shared --
# The proofs of stock at full size; without the race detector, under which smaller ones ran before.
PROOFS := EveryHistory|NoUnitIsLost
# A placement under every mishap; the long part is two cells that die.
MATRIX := WhateverHappensWherever
DEATHS := DeathOfTheCellThatTakesOver
# Evacuations whose drivers die, and writes that come too late.
EVACUATED := WhoeverDiesDuringAnEvacuation|ALateWriteNeverCommits
EVACUATIONS := 1000
ZOMBIES := 10000
SEEDS := 50
RESERVATIONS := 1000000

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Install what this machine lacks (PostgreSQL server programs)
	@scripts/setup.sh

.PHONY: build
build: ## Build all programs into bin/
	@mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/... github.com/nats-io/nats-server/v2

.PHONY: up
up: setup build ## Run the whole platform here, until Ctrl-C
	@exec bin/cellctl up $(ARGS)

.PHONY: down
down: ## Stop the platform that runs here
	@bin/cellctl down

.PHONY: test
test: setup $(TOOLS)/consul ## Run the unit and integration tests with the race detector, then the proofs, that of evacuations at a fifth of its size
	@$(SHARED) go test -race -timeout 15m $(ARGS) ./...
	@if [ -z "$(ARGS)" ]; then $(MAKE) proofs EVACUATIONS=200 ZOMBIES=2000; fi

.PHONY: proofs
proofs: setup ## Run the proofs: stock against a model and with cells that die, every mishap at every point of an order, drivers of evacuations that die
	@$(SHARED) env CELLAR_SEEDS=$(SEEDS) CELLAR_RESERVATIONS=$(RESERVATIONS) \
	  go test -count=1 -timeout 15m -v -run '$(PROOFS)' ./services/inventory | grep -v '^=== '
	@$(SHARED) env CELLAR_STORIES=all go test -count=1 -timeout 15m -v -run '$(MATRIX)' ./e2e/placement | grep -Ev '^=== |^ +--- PASS'
	@$(SHARED) env CELLAR_EVACUATIONS=$(EVACUATIONS) CELLAR_ZOMBIES=$(ZOMBIES) \
	  go test -count=1 -timeout 60m -v -run '$(EVACUATED)' ./cells/evacuation | grep -v '^=== '

.PHONY: soak
soak: setup ## Run the proofs for long: a thousand histories, ten million reservations, cells that die one after the other
	@$(SHARED) env CELLAR_SEEDS=1000 CELLAR_RESERVATIONS=10000000 \
	  go test -count=1 -timeout 3h -v -run '$(PROOFS)' $(ARGS) ./services/inventory
	@$(SHARED) env CELLAR_DEATHS=all go test -count=1 -timeout 1h -v -run '$(DEATHS)' $(ARGS) ./e2e/placement | grep -Ev '^=== |^ +--- PASS'

.PHONY: mutants
mutants: setup ## Put defects into the stock's code and around the fence, one by one: each must be caught
	@$(SHARED) go test -count=1 -timeout 20m -p 2 -tags mutants -v -run Mutant $(ARGS) ./services/inventory ./internal/fencecheck | grep -v '^=== '

.PHONY: e2e
e2e: setup build ## Run the end-to-end tests: real processes, faults, audits
	@go test -race -count=1 -timeout 10m -tags e2e $(ARGS) $(E2E)

.PHONY: e2e-browser
e2e-browser: setup build ## Run the shop's journeys in a real browser (needs Node 20; installs Chromium), with pictures of every page
	@scripts/setup.sh browser
	cd e2e/browser && npm ci --no-audit --no-fund --loglevel=error && node --test --test-reporter=spec $(ARGS) shop.test.mjs

.PHONY: bench
bench: setup ## Run the benchmarks; each prints ratios or rates taken in one run
	@$(SHARED) go test -run '^$$' -bench . -benchtime 1s $(ARGS) ./...

.PHONY: fuzz
fuzz: ## Fuzz every parser for a while (FUZZTIME=20s each)
	@scripts/fuzz.sh

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/buf ## Check style: Go, proto, shell
	@$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/buf lint
	if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; else echo "lint: shellcheck is not installed; shell scripts are not checked"; fi

.PHONY: generate
generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-connect-go ## Generate code from the proto files
	@PATH="$(CURDIR)/$(TOOLS):$$PATH" $(TOOLS)/buf generate

.PHONY: verify
verify: generate ## Check that generated code, formatting and go.mod are as they should be
	@scripts/verify.sh

.PHONY: clean
clean: ## Remove what was built, and the local platform's data
	@if [ -S .cellar/control.sock ]; then bin/cellctl down || true; fi
	rm -rf bin .cellar

# Tools are built from tools/go.mod: pinned, and apart from what the programs depend on.
$(TOOLS)/buf: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	go -C tools build -o ../$@ github.com/bufbuild/buf/cmd/buf

$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	go -C tools build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# The agent that tests of the map talk to. Its modules contradict those of the other tools, so it has a go.mod of its own.
$(TOOLS)/consul: tools/consul/go.mod tools/consul/go.sum
	@mkdir -p $(TOOLS)
	go -C tools/consul build -o ../../$@ github.com/hashicorp/consul

$(TOOLS)/protoc-gen-go: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	go -C tools build -o ../$@ google.golang.org/protobuf/cmd/protoc-gen-go

$(TOOLS)/protoc-gen-connect-go: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	go -C tools build -o ../$@ connectrpc.com/connect/cmd/protoc-gen-connect-go
