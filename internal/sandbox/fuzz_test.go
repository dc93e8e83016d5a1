package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Whatever a line holds: no panic, and what is accepted is written back as something that reads the same.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"seq":1,"at":"2031-01-01T00:00:00Z","charge_id":"ch_1","kind":"capture","amount":5,"currency":"USD","reference":"o","idempotency_key":"k","fingerprint":"f"}`))
	f.Add([]byte(`{"seq":1}` + "\n"))
	f.Add([]byte("{}{}"))
	f.Add([]byte("\x00\x00\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		first, err := parseRecord(line)
		if err != nil {
			return
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", first, err)
		}
		second, err := parseRecord(again)
		if err != nil || first.Entry.At.Compare(second.At) != 0 {
			t.Fatalf("%+v reads back as %+v: %v", first, second, err)
		}
		second.At = first.At
		if first != second {
			t.Fatalf("%+v reads back as %+v", first, second)
		}
	})
}

// Whatever a body holds: no panic, and the answer is a refusal that does not quote it, or a value that is all of it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(saleBody("tok_visa")))
	f.Add([]byte(`{"amount":99999999999999999999}`))
	f.Add([]byte(`{"nobody-knows-this":1}`))
	f.Add([]byte(`{"amount":1} {"amount":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var q chargeRequest
		err := decode(bytes.NewReader(body), &q)
		if err == nil {
			if !json.Valid(body) {
				t.Fatalf("%q is accepted", body)
			}
			return
		}
		var known *refusal
		if !errors.As(err, &known) || known.status < 400 || known.status > 499 {
			t.Fatalf("%q: %v", body, err)
		}
		text := strings.TrimSpace(string(body))
		if len(text) > 12 && strings.Contains(err.Error(), text) {
			t.Fatalf("%q is quoted: %v", body, err)
		}
	})
}
