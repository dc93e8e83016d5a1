package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// fromFeed reads a line of a product feed.
func fromFeed(fields map[string]any) (*catalogv1.Product, Reason, error) {
	id := text(fields["id"])
	if id == "" {
		return nil, NotAProduct, errors.New("there is neither a sku nor an id")
	}
	title := text(fields["title"])
	if title == "" {
		title = text(fields["name"])
	}
	// A bad price is 0 here, which is refused like a price of nothing.
	cents, _ := strconv.ParseInt(text(fields["price"]), 10, 64)
	p := &catalogv1.Product{
		Sku: cleanSKU(id), Title: cut(title, maxTitle), Description: cut(text(fields["short_description"]), maxDescription),
		Brand: cut(text(fields["supplier"]), maxBrand), Price: money.USD(cents).Proto(), ImageUrls: images(fields),
		Attributes: attributes(fields), WeightGrams: weight(fields), Popularity: popularity(unit(hash(id, 0))),
		Prime: fields["prime"] == true,
	}
	p.CategoryPath = categorize(p)
	return p, "", nil
}

// unit makes a hash a number from 0 up to 1. A float64 holds 53 bits.
func unit(hash uint64) float64 { return float64(hash>>11) / (1 << 53) }

// attributes of a feed's line: "attr_t_display_resolution" is "display resolution". Of too many the first by name.
func attributes(fields map[string]any) map[string]string {
	all := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		name, ok := strings.CutPrefix(key, "attr_")
		if !ok || len(name) < 3 || name[1] != '_' || len(all) >= maxAttributes {
			continue
		}
		name = cut(clean(strings.ReplaceAll(name[2:], "_", " ")), maxName)
		if value := cut(text(fields[key]), maxValue); name != "" && value != "" {
			all[name] = value
		}
	}
	return all
}

// images of a feed's line, those with an address that a browser would follow.
func images(fields map[string]any) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		address := text(fields[key])
		if strings.HasPrefix(key, "img_") && len(all) < maxImages && goodImage(address) {
			all = append(all, address)
		}
	}
	return all
}

func goodImage(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(address) <= maxImageURL
}

// weight in grams; that of the package where the thing's own is not known. Figures below one gram are in some other unit:
// not known.
func weight(fields map[string]any) int64 {
	for _, key := range []string{"attr_n_weight", "attr_n_package_weight"} {
		if grams, err := strconv.ParseFloat(text(fields[key]), 64); err == nil && grams >= 1 && grams <= maxWeight {
			return int64(grams)
		}
	}
	return 0
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

// markup that feeds leave in their texts.
var markup = regexp.MustCompile(`(?i)</?(?:br|p|b|i|ul|ol|li|strong|em)\s*/?>`)

// clean takes markup, control characters and doubled spaces out.
func clean(s string) string {
	if strings.Contains(s, "<") {
		s = markup.ReplaceAllString(s, " ")
	}
	s = strings.ToValidUTF8(html.UnescapeString(s), "")
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
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:limit]))
}

// cleanSKU keeps what an SKU may have; ids that differ only in other characters stay apart by a hash.
func cleanSKU(id string) string {
	kept := keepSKU(id)
	if kept == id && len(id) <= maxSKU {
		return id
	}
	return fmt.Sprintf("%.40s-%x", kept, hash(id, 0))
}

func keepSKU(id string) string {
	return strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '-' || r == '_' || r == '.' {
			return r
		}
		return -1
	}, id)
}
