// Package cellar_test keeps the rules of the tree; see internal/layout for what they are.
package cellar_test

import (
	"testing"

	"github.com/cellar-commerce/cellar/internal/layout"
)

func TestTheTreeKeepsItsRules(t *testing.T) {
	tree, err := layout.Read(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range layout.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, broken := range rule.Check(tree) {
				t.Errorf("%s\n\thow to mend: %s", broken, rule.Mend)
			}
		})
	}
}
