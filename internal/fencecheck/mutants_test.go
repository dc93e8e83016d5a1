//go:build mutants

package fencecheck_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutant is a way past the fence that is put into the code: each text is replaced by the one behind it, once.
type mutant struct {
	name, file string
	texts      []string
}

var mutants = []mutant{
	{"a method writes in a transaction of its own", "services/cart/store.go", []string{
		"err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {\n\t\tif _, err := tx.Exec(ctx, stmtRemove", "err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {\n\t\tif _, err := tx.Exec(ctx, stmtRemove"}},
	{"a closure is handed on to a transaction of its own", "services/account/store.go", []string{
		"return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error { return changeOneIn(", "return s.deps.Customers.InTx(ctx, func(tx sqldb.Tx) error { return changeOneIn("}},
	{"what a consumer is told is written without a fence", "services/order/service.go", []string{
		"err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {\n\t\twrote = false", "err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {\n\t\twrote = false"}},
	{"a sweep deletes without a fence", "services/checkout/expiry.go", []string{
		"err := s.deps.Fence.Join(ctx, customer, opForget.Part(forgetting{all, now}))",
		"var b sqldb.Batch\n\t\t\tfence.Queue(&b, customer.Region(), []fence.Part{opForget.Part(forgetting{all, now})})\n\t\t\terr := s.deps.DB.Send(ctx, &b)",
		"\"github.com/cellar-commerce/cellar/internal/problem\"", "\"github.com/cellar-commerce/cellar/internal/problem\"\n\t\"github.com/cellar-commerce/cellar/internal/sqldb\""}},
	{"a sweep takes sagas over without a fence", "internal/saga/store.go", []string{
		"err := e.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {", "err := e.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {"}},
	{"a saga is saved without a fence", "internal/saga/store.go", []string{
		"err := e.deps.Fence.Join(ctx, in.CustomerID, append(with, opSave.Part(held{in, holder, e.deps.Clock.Now()}))...)",
		"var b sqldb.Batch\n\tfence.Queue(&b, in.CustomerID.Region(), append(with, opSave.Part(held{in, holder, e.deps.Clock.Now()})))\n\terr := e.deps.DB.Send(ctx, &b)"}},
	{"a payment is settled without a fence", "services/payment/settle.go", []string{
		"err := s.deps.Fence.Join(ctx, to.CustomerID, opSettle.Part(row))",
		"var b sqldb.Batch\n\t\tfence.Queue(&b, to.OrderID.Region(), []fence.Part{opSettle.Part(row)})\n\t\terr := s.deps.DB.Send(ctx, &b)"}},
	{"InSlotTx does not mind the owner", "internal/fence/fence.go", []string{
		"if o.cell != f.deps.Cell {\n\t\t\treturn wrongCell(id, o)\n\t\t}\n\t\treturn fn(tx)", "_ = o\n\t\treturn fn(tx)"}},
	{"Send has no guard", "internal/fence/fence.go", []string{
		"err = f.deps.DB.Send(ctx, b.After(stmtGuard, string(region), int16(id.Slot()), f.deps.Cell, string(id)))", "_ = region\n\terr = f.deps.DB.Send(ctx, b)"}},
	{"Join has no guard", "internal/fence/lane.go", []string{
		"b.Queue(stmtGuardAll, nil, string(ring), slots, f.deps.Cell, len(distinct), strings.Join(ids, \",\"))", "_ = strings.Join(ids, \",\")"}},
	{"the database of customers is written past everything", "services/checkout/service.go", []string{
		"\torder := ident.NewOrder(p.customer.Ring())\n",
		"\torder := ident.NewOrder(p.customer.Ring())\n\t_, _ = s.deps.DB.Exec(ctx, stmtForget, string(p.customer.Region()), string(p.customer), methodPlace, p.key, start)\n"}},
}

// slow mutants are in the fence itself, so that reading does not show them: each takes a build and a run of a cell's tests. One of
// the three is done also with -short.
var slow = []string{"InSlotTx does not mind the owner", "Send has no guard"}

// Each way past the fence is noticed by those who read the code, or by those who run a cell against slots that have moved. The
// code itself is not touched: the compiler is told to read another file in its place.
func TestEveryMutantIsCaught(t *testing.T) {
	for _, m := range mutants {
		if testing.Short() && slices.Contains(slow, m.name) {
			t.Logf("with -short this one is left out: %s", m.name)
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			overlay := m.overlay(t)
			read := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "WhatWritesCustomersRowsIsFenced", ".")
			read.Env = append(os.Environ(), envOverlay+"="+overlay)
			out, err := read.CombinedOutput()
			if err != nil && strings.Contains(string(out), "writes outside the fence") {
				t.Log("caught by reading")
				return
			}
			if err != nil {
				t.Fatalf("reading fails otherwise: %s", out)
			}
			test := filepath.Join(t.TempDir(), "cells.test")
			if built, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", test, "../../cells").CombinedOutput(); err != nil {
				t.Fatalf("the defect does not compile: %v\n%s", err, built)
			}
			run := exec.CommandContext(t.Context(), test, "-test.run", "HasLostACustomer", "-test.timeout", "5m")
			run.Dir = "../../cells"
			out, err = run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "that has lost the customer") {
				t.Errorf("the defect was not noticed: %v\n%s", err, out)
				return
			}
			t.Log("caught by running")
		})
	}
}

// overlay that has the defect.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	at, err := filepath.Abs(filepath.Join("../..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	code := string(b)
	for i := 0; i < len(m.texts); i += 2 {
		if n := strings.Count(code, m.texts[i]); n != 1 {
			t.Fatalf("%s has the text %d times, once is needed: %s", m.file, n, m.texts[i])
		}
		code = strings.Replace(code, m.texts[i], m.texts[i+1], 1)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {at: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(code), overlay: list} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
