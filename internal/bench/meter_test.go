package bench

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestCostsAreSharedByTheOrders(t *testing.T) {
	from := reading{cpu: map[string]time.Duration{"cells": time.Second}, switches: map[string]int64{"cells": 100}, counts: map[string]float64{"sql commits": 5}}
	to := reading{cpu: map[string]time.Duration{"cells": 3 * time.Second, "database": time.Second}, switches: map[string]int64{"cells": 500}, counts: map[string]float64{"sql commits": 25}}
	byPart := map[string]Cost{}
	for _, c := range costs(reading{cpu: map[string]time.Duration{"cells": 500 * time.Millisecond}, at: from.at.Add(-2 * time.Second)}, from, to, 10) {
		byPart[c.Part] = c
	}
	for part, want := range map[string]Cost{
		"cells": {Part: "cells", CPUMS: 200, Switches: 40, AtRest: 250}, "database": {Part: "database", CPUMS: 100}, "all": {Part: "all", CPUMS: 300, Switches: 40, AtRest: 250},
		"sql commits": {Part: "sql commits", Count: 2, AtRest: 2.5},
	} {
		if byPart[part] != want {
			t.Errorf("%+v, not %+v", byPart[part], want)
		}
	}
	if all := costs(from, from, to, 0); all != nil {
		t.Errorf("no orders cost %v", all)
	}
}

func TestTheMeterReadsProcesses(t *testing.T) {
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if n := processSwitches(os.Getpid()); n == 0 {
		t.Error("this process was never switched")
	}
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	found := false
	for _, pid := range childrenOf(os.Getpid()) {
		found = found || pid == child.Process.Pid
	}
	if !found {
		t.Error("a child of this process is not found")
	}
}

func TestTheMeterAddsUpSeries(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP sql_statements_total x\n" +
			"sql_statements_total{cell=\"a b\",database=\"cellar_customer\"} 7\nsql_statements_total{cell=\"a b\",database=\"cellar_regional\"} 1.5e+01\n" +
			"rpc_server_call_duration_seconds_count{code=\"\"} 3\nrpc_server_call_duration_seconds_sum{code=\"\"} 99\n"))
	}))
	defer server.Close()
	m, r := &meter{http: server.Client()}, reading{counts: map[string]float64{}}
	if err := m.readMetrics(t.Context(), server.URL, &r); err != nil {
		t.Fatal(err)
	}
	if r.counts["sql statements"] != 22 || r.counts["calls between processes"] != 3 {
		t.Errorf("%v", r.counts)
	}
}
