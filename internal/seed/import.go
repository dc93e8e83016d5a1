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
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// maxLine bounds one line of a product file.
const maxLine = 1 << 20

// ParseImport reads products from JSON Lines, plain or gzip. A line is a catalogue product (it has "sku"), or one of
// the shape that product feeds have: id, title or name, short_description, supplier, price in cents, an img_* address,
// attr_t_* texts, attr_n_* numbers and attr_b_* flags; it gets a category by its words. A line that is no product is an
// error that names its number, and reading goes on; an error without a product after which nothing comes ends a damaged
// file.
func ParseImport(r io.Reader) iter.Seq2[*catalogv1.Product, error] {
	return func(yield func(*catalogv1.Product, error) bool) {
		plain, err := unzip(r)
		if err != nil {
			yield(nil, fmt.Errorf("read products: %w", err))
			return
		}
		lines := bufio.NewScanner(plain)
		lines.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			p, err := parseLine(line)
			if err != nil {
				err, p = fmt.Errorf("line %d: %w", n, err), nil
			}
			if !yield(p, err) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("line %d: %w", n+1, err))
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

func parseLine(line []byte) (*catalogv1.Product, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber() // ids and prices are whole numbers, not floats
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	if d.More() {
		return nil, errors.New("more than one JSON value")
	}
	if _, own := fields["sku"]; own {
		p := &catalogv1.Product{}
		if err := protojson.Unmarshal(line, p); err != nil {
			return nil, fmt.Errorf("no product: %w", err)
		}
		return p, nil
	}
	return fromFeed(fields)
}

// Limits as the catalogue has them; longer texts are cut.
const (
	maxTitle       = 500
	maxDescription = 20_000
	maxBrand       = 120
	maxName        = 80
	maxValue       = 500
	maxAttributes  = 100
)

// fromFeed reads a line of a product feed.
func fromFeed(fields map[string]any) (*catalogv1.Product, error) {
	id := text(fields["id"])
	if id == "" {
		return nil, errors.New("there is neither a sku nor an id")
	}
	title := text(fields["title"])
	if title == "" {
		title = text(fields["name"])
	}
	if title == "" {
		return nil, errors.New("there is no title")
	}
	cents, err := strconv.ParseInt(text(fields["price"]), 10, 64)
	if err != nil || cents <= 0 {
		return nil, errors.New("there is no price in whole cents")
	}
	p := &catalogv1.Product{
		Sku: cleanSKU(id), Title: cut(title, maxTitle), Description: cut(text(fields["short_description"]), maxDescription), Brand: cut(text(fields["supplier"]), maxBrand),
		Price: money.USD(cents).Proto(), Attributes: attributes(fields), Popularity: popularity(float64(hash(id, 0)>>11) / (1 << 53)),
	}
	p.CategoryPath = categorize(p)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if url := text(fields[name]); strings.HasPrefix(name, "img_") && strings.HasPrefix(url, "http") && len(p.GetImageUrls()) < 5 {
			p.ImageUrls = append(p.ImageUrls, url)
		}
	}
	if grams, err := strconv.ParseFloat(text(fields["attr_n_weight"]), 64); err == nil && grams >= 1 && grams < 1e6 {
		p.WeightGrams = int64(grams)
	}
	return p, nil
}

// attributes of a feed's line: "attr_t_display_resolution" is "display resolution".
func attributes(fields map[string]any) map[string]string {
	all := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		name, ok := strings.CutPrefix(key, "attr_")
		if !ok || len(name) < 3 || name[1] != '_' || len(all) >= maxAttributes {
			continue
		}
		name = cut(strings.Join(strings.FieldsFunc(name[2:], func(r rune) bool { return r == '_' || r == ' ' }), " "), maxName)
		if value := cut(text(fields[key]), maxValue); name != "" && value != "" {
			all[name] = value
		}
	}
	return all
}

// text of a JSON value: words and numbers as they are, flags as yes and no, nothing of lists and objects.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return clean(v)
	case json.Number:
		return strings.TrimSuffix(v.String(), ".0")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	default:
		return ""
	}
}

// clean takes control characters and doubled spaces out.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// cut a text to a number of characters.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:limit]))
}

// cleanSKU keeps what an SKU may have; ids that differ only in other characters stay apart by a hash.
func cleanSKU(id string) string {
	kept := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '-' || r == '_' || r == '.' {
			return r
		}
		return -1
	}, id)
	if kept == id && len(id) <= 64 {
		return id
	}
	return fmt.Sprintf("%.40s-%x", kept, hash(id, 0))
}
