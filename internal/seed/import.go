package seed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// Reason why a line of an import is no product.
type Reason string

// Reasons, for counting.
const (
	// TooLong is a line beyond one mebibyte.
	TooLong Reason = "TOO_LONG"
	// NotJSON is a line that is not one JSON object.
	NotJSON Reason = "NOT_JSON"
	// NotAProduct is an object of neither shape, or with fields of wrong types.
	NotAProduct Reason = "NOT_A_PRODUCT"
	// BadSKU breaks the rule for SKUs.
	BadSKU Reason = "BAD_SKU"
	// BadTitle is empty, too long or has control characters.
	BadTitle Reason = "BAD_TITLE"
	// BadPrice is absent, not in whole cents, not above 0 or not in US dollars.
	BadPrice Reason = "BAD_PRICE"
	// BadCategory has no level or more than five.
	BadCategory Reason = "BAD_CATEGORY"
	// BadDetails is a description, brand, attribute or number beyond its limits.
	BadDetails Reason = "BAD_DETAILS"
	// Unreadable is a file that broke off; nothing comes after it.
	Unreadable Reason = "UNREADABLE"
)

// LineError tells what is wrong with a line of an import.
type LineError struct {
	// Line counts from 1.
	Line   int
	Reason Reason
	// Err says more; it may be nil.
	Err error
}

func (e *LineError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Reason, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }

// maxLine of a product file in bytes, its end not counted.
const maxLine = 1 << 20

// ParseImport reads products from JSON Lines, plain or gzip. A line is a catalogue product (it has "sku"), or one of
// the shape that product feeds have: id, title or name, short_description, supplier, price in cents, img_* addresses,
// attr_t_* texts, attr_n_* numbers and attr_b_* flags; it gets a category by its words. A line that is no product is a
// *LineError without a product, and reading goes on; after UNREADABLE nothing comes. Each SKU is given as often as the
// file has it.
func ParseImport(r io.Reader) iter.Seq2[*catalogv1.Product, error] {
	return func(yield func(*catalogv1.Product, error) bool) {
		plain, err := unzip(r)
		if err != nil {
			yield(nil, &LineError{Line: 1, Reason: Unreadable, Err: err})
			return
		}
		lines := bufio.NewReaderSize(plain, 64<<10)
		var buffer []byte
		for n := 1; ; n++ {
			line, reason, end := readLine(lines, buffer)
			buffer = line[:0]
			if end != nil && !errors.Is(end, io.EOF) {
				yield(nil, &LineError{Line: n, Reason: Unreadable, Err: end})
				return
			}
			if line = bytes.TrimSpace(line); (reason != "" || len(line) > 0) && !yield(parseLine(n, line, reason)) {
				return
			}
			if end != nil {
				return
			}
		}
	}
}

// unzip what begins like gzip (RFC 1952: 1f 8b).
func unzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		return gzip.NewReader(b)
	}
	return b, nil
}

// readLine into a buffer. Of a line that is too long the rest is read and dropped, so that the next one can be.
func readLine(r *bufio.Reader, buffer []byte) (line []byte, reason Reason, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(buffer)+len(part) > maxLine+1 {
			reason = TooLong
			buffer = buffer[:0]
		}
		if reason == "" {
			buffer = append(buffer, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buffer, reason, err
		}
	}
}

func parseLine(n int, line []byte, reason Reason) (*catalogv1.Product, error) {
	if reason != "" {
		return nil, &LineError{Line: n, Reason: reason}
	}
	p, reason, err := parseProduct(line)
	if reason == "" {
		reason, err = fault(p)
	}
	if reason != "" {
		return nil, &LineError{Line: n, Reason: reason, Err: err}
	}
	return p, nil
}

func parseProduct(line []byte) (*catalogv1.Product, Reason, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // ids and prices are whole numbers, not floats
	if err := d.Decode(&fields); err != nil {
		return nil, NotJSON, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, NotJSON, errors.New("more than one JSON value")
	}
	if _, own := fields["sku"]; !own {
		return fromFeed(fields)
	}
	p := &catalogv1.Product{}
	if err := protojson.Unmarshal(line, p); err != nil {
		return nil, NotAProduct, err
	}
	p.Version, p.UpdatedAt = 0, nil // the catalogue sets them
	return p, "", nil
}

// Limits as the catalogue has them. Longer texts of a feed are cut; of our own shape they are refused, since the
// catalogue can never have given them out.
const (
	maxSKU         = 64
	maxTitle       = 500
	maxDescription = 20_000
	maxBrand       = 120
	maxLevels      = 5
	maxLevel       = 80
	maxPrice       = 100_000_000 // cents
	maxImages      = 20
	maxImageURL    = 2_000
	maxAttributes  = 100
	maxName        = 80
	maxValue       = 500
	maxWeight      = 10_000_000 // grams
)

// fault of a product; no reason when there is none.
func fault(p *catalogv1.Product) (Reason, error) {
	switch cents := p.GetPrice().GetMinorUnits(); {
	case p.GetSku() == "" || len(p.GetSku()) > maxSKU || keepSKU(p.GetSku()) != p.GetSku():
		return BadSKU, errors.New("a SKU has 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	case strings.TrimSpace(p.GetTitle()) == "" || !fits(p.GetTitle(), maxTitle):
		return BadTitle, errors.New("a title has 1 to 500 characters")
	case cents <= 0 || cents > maxPrice || p.GetPrice().GetCurrencyCode() != currency:
		return BadPrice, errors.New("a price is in whole US cents, 1 to 100,000,000")
	case !goodPath(p.GetCategoryPath()):
		return BadCategory, errors.New("a category has 1 to 5 levels of 1 to 80 characters without '>'")
	case !goodDetails(p):
		return BadDetails, errors.New("a text, an attribute, a picture's address or a number is beyond its limits")
	}
	return "", nil
}

func goodPath(path []string) bool {
	for _, level := range path {
		if level == "" || strings.TrimSpace(level) != level || strings.Contains(level, ">") || !fits(level, maxLevel) {
			return false
		}
	}
	return len(path) >= 1 && len(path) <= maxLevels
}

func goodDetails(p *catalogv1.Product) bool {
	for name, value := range p.GetAttributes() {
		if name == "" || !fits(name, maxName) || !fits(value, maxValue) {
			return false
		}
	}
	for _, address := range p.GetImageUrls() {
		if !goodImage(address) {
			return false
		}
	}
	return len(p.GetAttributes()) <= maxAttributes && len(p.GetImageUrls()) <= maxImages &&
		fits(p.GetDescription(), maxDescription) && fits(p.GetBrand(), maxBrand) &&
		p.GetWeightGrams() >= 0 && p.GetWeightGrams() <= maxWeight && p.GetPopularity() >= 0 && p.GetPopularity() <= maxPopularity
}

// fits tells whether a text has at most so many characters and no control characters but line ends and tabs.
func fits(s string, limit int) bool {
	control := func(r rune) bool { return r == 0x7f || (r < 0x20 && !strings.ContainsRune("\n\t\r", r)) }
	return utf8.RuneCountInString(s) <= limit && !strings.ContainsFunc(s, control)
}
