#!/usr/bin/env bash
# Checks that what is committed is what the tools would make of it. Runs after `make generate`.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "verify: $*" >&2
  exit 1
}

changed=$(git status --porcelain -- internal/gen)
[ -z "$changed" ] || fail "generated code is not what proto/ says; commit what \`make generate\` made:
$changed"

unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
[ -z "$unformatted" ] || fail "these files are not formatted: $unformatted"

go mod tidy -diff || fail "go.mod is not tidy: run go mod tidy"
go -C tools mod tidy -diff || fail "tools/go.mod is not tidy: run go mod tidy in tools/"
go -C tools/consul mod tidy -diff || fail "tools/consul/go.mod is not tidy: run go mod tidy in tools/consul/"
go vet ./...
go vet -tags e2e ./e2e/...
go vet -tags mutants ./services/inventory

# A change of proto/ must not break those who use the last commit's. There is nothing to compare with in a first commit.
if git rev-parse -q --verify HEAD~1 >/dev/null && git cat-file -e HEAD~1:buf.yaml 2>/dev/null; then
  bin/tools/buf breaking --against '.git#ref=HEAD~1' || fail "proto/ breaks its users; see above"
fi
echo "verify: fine"
