package seed_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/seed"
)

// parse a whole file: products, and what was wrong as "line reason".
func parse(t testing.TB, r io.Reader) (products []*catalogv1.Product, wrong []string) {
	t.Helper()
	for p, err := range seed.ParseImport(r) {
		var bad *seed.LineError
		switch {
		case err == nil:
			products = append(products, p)
		case p != nil || !errors.As(err, &bad):
			t.Fatalf("product %v with error %v", p, err)
		default:
			wrong = append(wrong, fmt.Sprintf("%d %s", bad.Line, bad.Reason))
		}
	}
	return products, wrong
}

// one product of a line of a feed.
func one(t *testing.T, line string) *catalogv1.Product {
	t.Helper()
	products, wrong := parse(t, strings.NewReader(line))
	if len(products) != 1 || wrong != nil {
		t.Fatalf("%d products, %v", len(products), wrong)
	}
	accepted(t, products[0])
	return products[0]
}

func zipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOurOwnProductsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := slices.Collect(seed.Products(rapid.IntRange(0, 20).Draw(rt, "n"), rapid.Uint64().Draw(rt, "seed")))
		var file []byte
		for _, p := range want {
			line, err := protojson.Marshal(p)
			if err != nil {
				rt.Fatal(err)
			}
			file = append(append(file, line...), '\n')
		}
		if rapid.Bool().Draw(rt, "zip") {
			file = zipped(t, file)
		}
		got, wrong := parse(t, bytes.NewReader(file))
		if wrong != nil || !slices.EqualFunc(got, want, func(a, b *catalogv1.Product) bool { return proto.Equal(a, b) }) {
			rt.Fatalf("%v, errors %v", got, wrong)
		}
	})
}

func TestTheCatalogueSetsVersionAndTime(t *testing.T) {
	p := one(t, `{"sku":"A-1","title":"Lamp","categoryPath":["Home"],"price":{"currencyCode":"USD","minorUnits":"100"},"version":"7","updatedAt":"2026-01-01T00:00:00Z"}`)
	if p.GetVersion() != 0 || p.GetUpdatedAt() != nil {
		t.Errorf("version %d of %v", p.GetVersion(), p.GetUpdatedAt())
	}
}

func TestAFamilyIsImportedWithWhatItVariesBy(t *testing.T) {
	p := one(t, `{"sku":"TEE-R-M","title":"Tee","categoryPath":["Clothing"],"price":{"currencyCode":"USD","minorUnits":"1500"},"attributes":{"colour":"red","size":"M"},"family":"TEE","variesBy":["colour","size"]}`)
	if p.GetFamily() != "TEE" || !slices.Equal(p.GetVariesBy(), []string{"colour", "size"}) {
		t.Errorf("it is of %q, and varies by %v", p.GetFamily(), p.GetVariesBy())
	}
}

func TestWhatIsPrimeIsImportedSoAndNothingElseIs(t *testing.T) {
	const own = `{"sku":"A-1","title":"Lamp","categoryPath":["Home"],"price":{"currencyCode":"USD","minorUnits":"100"}`
	for line, want := range map[string]bool{
		own + `}`: false, own + `,"prime":true}`: true, `{"id":"7","title":"Lamp","price":100}`: false,
		`{"id":"7","title":"Lamp","price":100,"prime":true}`: true, `{"id":"7","title":"Lamp","price":100,"prime":"true"}`: false,
	} {
		if one(t, line).GetPrime() != want {
			t.Errorf("%s is Prime: %v", line, !want)
		}
	}
}

// feedLine has what feeds have: doubled spaces, control characters, markup, addresses that are none.
const feedLine = `{"id":"77/x","name":"short","title":"Acme  27\" monitor\u0007 black","supplier":"Acme","price":12900,` +
	`"short_description":"Sharp.<br />Wide &amp; flat","img_500x500":"http://images.example/77.jpg","img_bad":"javascript:x",` +
	`"attr_t_display_resolution":"1920 x 1080","attr_n_weight":4200.0,"attr_b_touchscreen":false,"attr_t_contrast__typical_":"1000:1","ean":["1"]}`

func TestALineOfAFeedBecomesAProduct(t *testing.T) {
	p := one(t, feedLine)
	want := &catalogv1.Product{
		Sku: p.GetSku(), Title: `Acme 27" monitor black`, Description: "Sharp. Wide & flat", Brand: "Acme", CategoryPath: []string{"Displays", "Monitors"},
		Price: p.GetPrice(), ImageUrls: []string{"http://images.example/77.jpg"}, WeightGrams: 4200, Popularity: p.GetPopularity(),
		Attributes: map[string]string{"display resolution": "1920 x 1080", "weight": "4200", "touchscreen": "no", "contrast typical": "1000:1"},
	}
	if !proto.Equal(p, want) || p.GetPrice().GetMinorUnits() != 12900 || !strings.HasPrefix(p.GetSku(), "77x-") {
		t.Errorf("got %v\nwant %v", p, want)
	}
}

func TestIdsThatDifferInForbiddenCharactersStayApart(t *testing.T) {
	a, b := one(t, `{"id":"7/1","title":"x","price":1}`), one(t, `{"id":"7?1","title":"x","price":1}`)
	if a.GetSku() == b.GetSku() {
		t.Errorf("both are %s", a.GetSku())
	}
	if id := one(t, `{"id":42,"name":"by its name","price":1}`); id.GetSku() != "42" || id.GetTitle() != "by its name" {
		t.Errorf("%v", id)
	}
}

func TestLongTextsOfAFeedAreCutBetweenCharacters(t *testing.T) {
	var attributes strings.Builder
	for i := range 150 {
		fmt.Fprintf(&attributes, `,"attr_t_a%03d":"%s"`, i, strings.Repeat("ü", 600))
	}
	p := one(t, fmt.Sprintf(`{"id":"1","price":5,"title":"%s","short_description":"%s"%s}`, strings.Repeat("ä", 700), strings.Repeat("€", 30_000), attributes.String()))
	if p.GetTitle() != strings.Repeat("ä", 500) || p.GetDescription() != strings.Repeat("€", 20_000) || len(p.GetAttributes()) != 100 {
		t.Errorf("%d bytes of title, %d of description, %d attributes", len(p.GetTitle()), len(p.GetDescription()), len(p.GetAttributes()))
	}
}

func TestABadLineIsToldByNumberAndReasonAndReadingGoesOn(t *testing.T) {
	own := func(fields string) string {
		return `{"sku":"a","title":"t","categoryPath":["c"],"price":{"currencyCode":"USD","minorUnits":"1"}` + fields + `}`
	}
	lines := []struct{ line, reason string }{
		{own(""), ""},
		{strings.Repeat("x", 1<<20+1), "TOO_LONG"},
		{`{"id":"1"`, "NOT_JSON"},
		{`[]`, "NOT_JSON"},
		{own("") + "{}", "NOT_JSON"},
		{own("") + "}", "NOT_JSON"},
		{"", ""},
		{`{"title":"t","price":5}`, "NOT_A_PRODUCT"},
		{own(`,"colour":"red"`), "NOT_A_PRODUCT"},
		{`{"sku":7}`, "NOT_A_PRODUCT"},
		{`{"sku":"a b"}`, "BAD_SKU"},
		{`{"sku":""}`, "BAD_SKU"},
		{`{"id":"1","title":" ","price":5}`, "BAD_TITLE"},
		{`{"id":"1","title":"t"}`, "BAD_PRICE"},
		{`{"id":"1","title":"t","price":0}`, "BAD_PRICE"},
		{`{"id":"1","title":"t","price":-5}`, "BAD_PRICE"},
		{`{"id":"1","title":"t","price":19.99}`, "BAD_PRICE"},
		{`{"id":"1","title":"t","price":99999999999999999999}`, "BAD_PRICE"},
		{`{"sku":"a","title":"t","categoryPath":["c"],"price":{"currencyCode":"EUR","minorUnits":"1"}}`, "BAD_PRICE"},
		{`{"sku":"a","title":"t","price":{"currencyCode":"USD","minorUnits":"1"}}`, "BAD_CATEGORY"},
		{own(`,"popularity":1000001`), "BAD_DETAILS"},
		{own(`,"attributes":{"":"x"}`), "BAD_DETAILS"},
		{own(`,"imageUrls":["ftp://x/y"]`), "BAD_DETAILS"},
		{`{"id":"1","title":"t","price":5}`, ""},
	}
	var file strings.Builder
	var want []string
	for i, l := range lines {
		file.WriteString(l.line + "\r\n")
		if l.reason != "" {
			want = append(want, fmt.Sprintf("%d %s", i+1, l.reason))
		}
	}
	products, wrong := parse(t, strings.NewReader(file.String()))
	if len(products) != 2 || !slices.Equal(wrong, want) {
		t.Errorf("%d products\n got %v\nwant %v", len(products), wrong, want)
	}
}

func TestALineMayBeJustAsLongAsTheLimit(t *testing.T) {
	line := `{"id":"1","title":"t","price":5,"x":"` + strings.Repeat("x", 1<<20-39) + `"}`
	if len(line) != 1<<20 {
		t.Fatalf("the line has %d bytes", len(line))
	}
	one(t, line)
	one(t, line+"\n")
}

func TestABrokenFileEndsWithWhatCouldBeRead(t *testing.T) {
	line := []byte(`{"id":"1","title":"t","price":5}` + "\n")
	for name, file := range map[string]io.Reader{
		"a gzip cut short": bytes.NewReader(zipped(t, bytes.Repeat(line, 20_000))[:500]),
		"a failing disk":   io.MultiReader(bytes.NewReader(line), iotest.ErrReader(errors.New("disk"))),
		"a gzip's head":    strings.NewReader("\x1f\x8b"),
	} {
		if _, wrong := parse(t, file); len(wrong) != 1 || !strings.HasSuffix(wrong[0], " UNREADABLE") {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	if products, wrong := parse(t, strings.NewReader("")); products != nil || wrong != nil {
		t.Errorf("an empty file: %v, %v", products, wrong)
	}
}

func TestImportStopsWhenAsked(t *testing.T) {
	seen := 0
	for range seed.ParseImport(strings.NewReader(strings.Repeat("x\n", 10))) {
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("%d lines", seen)
	}
}

func FuzzParseImport(f *testing.F) {
	f.Add([]byte(feedLine))
	f.Add([]byte(`{"sku":"a","title":"t","categoryPath":["c"],"price":{"currencyCode":"USD","minorUnits":"1"}}` + "\n\n{"))
	f.Add(zipped(f, []byte(feedLine)))
	f.Fuzz(func(t *testing.T, file []byte) {
		products, wrong := parse(t, bytes.NewReader(file))
		for _, p := range products {
			accepted(t, p)
		}
		if lines := bytes.Count(file, []byte("\n")) + 1; !bytes.HasPrefix(file, []byte("\x1f\x8b")) && len(products)+len(wrong) > lines {
			t.Errorf("%d products and %d errors from %d lines", len(products), len(wrong), lines)
		}
	})
}

func BenchmarkParseImport(b *testing.B) {
	file := strings.Repeat(feedLine+"\n", b.N)
	b.SetBytes(int64(len(feedLine) + 1))
	b.ResetTimer()
	for _, err := range seed.ParseImport(strings.NewReader(file)) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
