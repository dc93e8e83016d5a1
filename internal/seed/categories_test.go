package seed_test

import (
	"fmt"
	"strings"
	"testing"
)

// What a thing is made for stands before what it is.
func TestACategoryIsFoundByTheWords(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`"title":"Acme 12A toner cartridge Black for laser printers"`, "Printing > Toner & Ink"},
		{`"title":"Acme 300 laser printer"`, "Printing > Printers"},
		{`"title":"Acme maintenance kit, LaserJet"`, "Printing > Printer Parts"},
		{`"title":"Acme Labels white paper matt"`, "Printing > Paper & Labels"},
		{`"title":"Acme Rover notebook case 15 inch"`, "Bags & Cases > Notebook Bags"},
		{`"title":"Acme Book 9 Notebook 8 GB DDR4-SDRAM 256 GB SSD Wi-Fi 5"`, "Computers > Notebooks"},
		{`"title":"Acme memory module 8 GB for notebooks"`, "Components > Memory Modules"},
		{`"title":"Acme Cat.6 S/FTP Patch Cable, 1 m"`, "Cables > Network Cables"},
		{`"title":"Acme USB cable 2 m"`, "Cables > USB & Data Cables"},
		{`"title":"Acme Smart uninterruptible power supply (UPS) 750 VA"`, "Power > UPS"},
		{`"title":"Acme food processor 4 L"`, "Home > Kitchen"},
		{`"title":"Acme X5 processor 2 GHz"`, "Components > Processors"},
		{`"title":"Acme Light Cyan Original"`, "Printing > Toner & Ink"},
		{`"title":"Acme In-Ear Headphones"`, "Audio & Video > Headphones"},
		{`"title":"Acme QX-1","attr_t_ink_type":"Pigment"`, "Printing > Toner & Ink"},
		{`"title":"Acme QX-1","attr_t_product_type":"Keyboard"`, "Input Devices > Keyboards"},
		{`"title":"Acme QX-1","short_description":"A trackball"`, "Input Devices > Mice & Controllers"},
		{`"title":"Acme QX-1"`, "Other > Everything Else"},
	} {
		p := one(t, fmt.Sprintf(`{"id":"1","price":5,%s}`, c.fields))
		if got := strings.Join(p.GetCategoryPath(), " > "); got != c.want {
			t.Errorf("%s is in %s, want %s", c.fields, got, c.want)
		}
	}
}

// Who changes a product's category must not change the rules.
func TestCategoriesAreCopies(t *testing.T) {
	const line = `{"id":"1","price":5,"title":"Acme trackball"}`
	one(t, line).CategoryPath[0] = "changed"
	if got := one(t, line).GetCategoryPath()[0]; got == "changed" {
		t.Error("the rules were changed")
	}
}
