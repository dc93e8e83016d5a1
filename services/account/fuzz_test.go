package account

import (
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/ident"
)

func FuzzParseLink(f *testing.F) {
	linker := NewLinker([]byte(strings.Repeat("k", 32)))
	f.Add(linker.Token(ident.NewCustomer("use1"), "abc", purposeReset))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := parseLink(token, purposeReset)
		if err == nil && (l.customer.Guest() || len(l.hash) != 32 || !storable(l.tokenID)) {
			t.Errorf("%q gave %+v", token, l)
		}
	})
}
