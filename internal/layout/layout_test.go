package layout

import (
	"strings"
	"testing"
)

// file of a small tree: path and content.
type file struct{ path, content string }

func tree(t *testing.T, files ...file) *Tree {
	t.Helper()
	tr := &Tree{Other: map[string]string{}}
	for _, f := range files {
		if err := tr.Add(f.path, f.content); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func rule(t *testing.T, name string) Rule {
	t.Helper()
	for _, r := range Rules() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("there is no rule %q", name)
	return Rule{}
}

const (
	okService = "syntax = \"proto3\";\npackage cellar.cart.v1;\nservice CartService {\n  rpc Get(A) returns (B) {\n    option (cellar.options.v1.audience) = AUDIENCE_PUBLIC;\n  }\n}\n"
	longDoc   = "// Package p is here to be read.\n//\n// It says\n// what it\n// is for.\npackage p\n"
)

func long(n int) string { return strings.Repeat("\t_ = 0\n", n) }

func TestRulesLetGoodTreesPassAndCatchBadOnes(t *testing.T) {
	for _, c := range []struct {
		rule  string
		good  []file
		bad   []file
		names string // what the finding must name
	}{
		{"files and functions are short", []file{{"a/a.go", "package a\nfunc F() {\n" + long(60) + "}\n"}}, []file{{"a/a.go", "package a\nfunc F() {\n" + long(70) + "}\n"}}, "F has 72"},
		{"files and functions are short", []file{{"cmd/x/main.go", "package main\n" + strings.Repeat("\n", 70)}}, []file{{"cmd/x/main.go", "package main\n" + strings.Repeat("\n", 90)}}, "at most 80"},
		{"files and functions are short", []file{{"internal/gen/a.go", "package a\n" + strings.Repeat("\n", 900)}}, []file{{"a/a.go", "package a\n" + strings.Repeat("\n", 500)}}, "at most 500"},
		{"one package imports a technology", []file{{"internal/sqldb/db.go", "package sqldb\nimport _ \"github.com/jackc/pgx/v5\"\n"}}, []file{{"services/cart/store.go", "package cart\nimport _ \"github.com/jackc/pgx/v5\"\n"}}, "services/cart/store.go"},
		{"who may know whom", []file{{"cells/c.go", "package cells\nimport _ \"" + module + "services/cart\"\n"}}, []file{{"services/cart/c.go", "package cart\nimport _ \"" + module + "services/order\"\n"}}, "service order"},
		{"who may know whom", []file{{"internal/opening/o.go", "package opening\nimport _ \"" + module + "services/cart\"\n"}}, []file{{"internal/money/m.go", "package money\nimport _ \"" + module + "services/cart\"\n"}}, "internal/money"},
		{"who may know whom", []file{{"router/r.go", "package router\nimport _ \"" + module + "cells/topology\"\n"}}, []file{{"router/r.go", "package router\nimport _ \"" + module + "internal/sqldb\"\n"}}, "asks no database"},
		{"every package says what it is", []file{{"p/doc.go", longDoc}, {"p/a.go", "package p\n"}}, []file{{"p/doc.go", "// Package p.\npackage p\n"}, {"p/a.go", "package p\n"}}, "p has 1"},
		{"packages are named for what they hold", []file{{"a/a.go", "package money\n"}}, []file{{"a/a.go", "package utils\n"}}, "utils"},
		{"SQL lives in store.go", []file{{"services/cart/store.go", "package cart\nvar s = `SELECT a FROM b`\n"}}, []file{{"services/cart/rpc.go", "package cart\nvar s = `\nSELECT a\nFROM b`\n"}}, "rpc.go:2"},
		{"every table has one owner",
			[]file{{"db/schema/x.sql", "CREATE TABLE IF NOT EXISTS carts (\n"}, {"services/cart/store.go", "package cart\nvar s = `INSERT INTO carts (a)`\n"}},
			[]file{{"db/schema/x.sql", "CREATE TABLE IF NOT EXISTS carts (\n"}, {"services/cart/store.go", "package cart\nvar s = `INSERT INTO carts (a)`\n"}, {"services/order/store.go", "package order\nvar s = `DELETE FROM carts`\n"}}, "carts"},
		{"time is injected", []file{{"services/cart/c.go", "package cart\nimport \"time\"\nvar d = time.Second\n"}}, []file{{"services/cart/c.go", "package cart\nimport \"time\"\nvar d = time.Now()\n"}}, "time.Now"},
		{"no test skips or sleeps", []file{{"a/a_test.go", "package a\nfunc f(t T) { t.Log() }\n"}}, []file{{"a/a_test.go", "package a\nfunc f(t T) { t.Skip() }\n"}}, "t.Skip"},
		{"no test skips or sleeps", []file{{"a/a.go", "package a\n"}}, []file{{"a/a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"}}, "time.Sleep"},
		{"one word for one thing", []file{{"proto/cellar/cart/v1/cart.proto", okService}, {"services/cart/doc.go", "package cart\n"}}, []file{{"proto/cellar/cart/v1/cart.proto", okService}}, "services/cart does not implement"},
		{"one word for one thing", []file{{"proto/cellar/cart/v1/cart.proto", okService}, {"services/cart/doc.go", "package cart\n"}},
			[]file{{"proto/cellar/cart/v1/cart.proto", strings.Replace(okService, "audience", "other", 1)}, {"services/cart/doc.go", "package cart\n"}}, "who may call it"},
		{"services have the same files", []file{{"services/cart/doc.go", "package cart\n"}, {"services/cart/cart.go", "package cart\n"}, {"services/cart/service.go", "package cart\n"}, {"services/cart/rpc.go", "package cart\n"}},
			[]file{{"services/cart/doc.go", "package cart\n"}}, "services/cart has no rpc.go"},
	} {
		r := rule(t, c.rule)
		if found := r.Check(tree(t, c.good...)); len(found) > 0 {
			t.Errorf("%s: a good tree breaks it: %v", c.rule, found)
		}
		if found := strings.Join(r.Check(tree(t, c.bad...)), "\n"); !strings.Contains(found, c.names) {
			t.Errorf("%s: a bad tree gives %q, which does not name %q", c.rule, found, c.names)
		}
	}
}

func TestEveryRuleSaysHowToMendIt(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if r.Name == "" || r.Mend == "" || seen[r.Name] {
			t.Errorf("rule %q says %q", r.Name, r.Mend)
		}
		seen[r.Name] = true
	}
}
