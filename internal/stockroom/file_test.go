package stockroom

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBothFormatsOfAFileSayTheSame(t *testing.T) {
	csv := "sku,quantity,fc_id,delivery_id,note\nale,3,iad1,d1,x\n\"ci,der\",4,iad1,d1,\nale,2,iad1,d1,\nale,1,sea1,d1,\nale,9,iad1,d2,\n"
	json := `{"delivery_id":"d1","fc_id":"iad1","sku":"ale","quantity":3}
{"delivery_id":"d1","fc_id":"iad1","sku":"ci,der","quantity":4}

{"delivery_id":"d1","fc_id":"iad1","sku":"ale","quantity":2}
{"delivery_id":"d1","fc_id":"sea1","sku":"ale","quantity":1}
{"delivery_id":"d2","fc_id":"iad1","sku":"ale","quantity":9}`
	want := []Delivery{
		{FC: "iad1", ID: "d1", Units: map[string]int64{"ale": 5, "ci,der": 4}},
		{FC: "sea1", ID: "d1", Units: map[string]int64{"ale": 1}},
		{FC: "iad1", ID: "d2", Units: map[string]int64{"ale": 9}},
	}
	for name, text := range map[string]string{"CSV": csv, "CSV of a spreadsheet": "\ufeff" + strings.ReplaceAll(csv, "\n", "\r\n"), "JSON Lines": json} {
		got, err := Parse(strings.NewReader(text))
		if err != nil || !slices.EqualFunc(got, want, func(a, b Delivery) bool { return a.FC == b.FC && a.ID == b.ID && maps.Equal(a.Units, b.Units) }) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWhatIsWrongInAFileIsToldByLine(t *testing.T) {
	const header = "delivery_id,fc_id,sku,quantity\n"
	for text, want := range map[string]string{
		"":                                      "empty",
		"delivery_id,fc_id,sku\n":               "no column quantity",
		header + "d,iad1,ale,x\n":               "line 2: quantity is not a whole number",
		header + "d,iad1,ale,1\nd,iad1,ale,0\n": "line 3: quantity must be 1 to",
		header + "d,iad1,,1\n":                  "line 2: sku",
		header + ",iad1,ale,1\n":                "line 2: delivery_id",
		header + "d,,ale,1\n":                   "line 2: fc_id",
		header + "d,iad1,ale\n":                 "wrong number of fields",
		header + "d,iad1,ale,600000\nd,iad1,ale,600000\n":                                     "line 3: quantities of ale add up",
		`{"delivery_id":"d","fc_id":"iad1","sku":"ale","quantity":1,"colour":"red"}`:          "line 1: json: unknown field",
		`{"delivery_id":"d","fc_id":"iad1","sku":"ale","quantity":1} {}`:                      "line 1: there is more than one value",
		"{\"delivery_id\":\"d\",\"fc_id\":\"iad1\",\"sku\":\"ale\",\"quantity\":1}\nnonsense": "line 2:",
		"{" + strings.Repeat(" ", maxLineBytes):                                               "too long",
	} {
		got, err := Parse(strings.NewReader(text))
		if got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestManyWrongLinesAreNotAllTold(t *testing.T) {
	_, err := Parse(strings.NewReader("delivery_id,fc_id,sku,quantity\n" + strings.Repeat("d,iad1,ale,0\n", 500)))
	if n := strings.Count(fmt.Sprint(err), "line "); n != maxProblems {
		t.Errorf("%d lines are told", n)
	}
}

func TestBatchesHaveEachProductOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Delivery{Units: map[string]int64{}}
		for i := range rapid.IntRange(1, 2500).Draw(t, "products") {
			d.Units[fmt.Sprint("sku-", i)] = int64(i + 1)
		}
		seen := map[string]int64{}
		for _, lines := range d.batches() {
			if len(lines) > maxLines {
				t.Fatalf("a batch of %d", len(lines))
			}
			for _, l := range lines {
				seen[l.GetSku()] += l.GetQuantity()
			}
		}
		if !maps.Equal(seen, d.Units) {
			t.Fatal("the batches are not the delivery")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("delivery_id,fc_id,sku,quantity\nd1,iad1,ale,3\n")
	f.Add(`{"delivery_id":"d1","fc_id":"iad1","sku":"ale","quantity":3}`)
	f.Add("\ufeffsku,\"quan\ntity\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(strings.NewReader(text))
		if (err != nil) && got != nil {
			t.Fatal("an error, and deliveries")
		}
		for _, d := range got {
			for sku, n := range d.Units {
				if err := (row{d.ID, d.FC, sku, n}).check(); err != nil {
					t.Fatalf("%v was let through: %v", d, err)
				}
			}
		}
	})
}
