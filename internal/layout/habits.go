package layout

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// calls finds where a file calls pkg.name.
func (f *GoFile) calls(pkg string, names ...string) (at []string) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, sel.Sel.Name) {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && (id.Name == pkg || pkg == "") {
			at = append(at, f.at(call)+" calls "+id.Name+"."+sel.Sel.Name)
		}
		return true
	})
	return at
}

func clocks(t *Tree) (broken []string) {
	for _, f := range t.Go {
		if f.Test() || strings.HasSuffix(f.Dir(), "test") {
			continue
		}
		if f.In("services") || f.In("cells") || f.In("router") || f.In("internal/saga") || f.In("internal/audit") {
			broken = append(broken, f.calls("time", "Now", "Sleep", "After", "Since")...)
		}
	}
	return broken
}

func testHabits(t *Tree) (broken []string) {
	for _, f := range t.Go {
		if !f.Test() {
			continue
		}
		broken = append(broken, f.calls("time", "Sleep")...)
		for _, receiver := range []string{"t", "b", "tb", "f"} {
			broken = append(broken, f.calls(receiver, "Skip", "Skipf", "SkipNow")...)
		}
	}
	return broken
}

var (
	protoService = regexp.MustCompile(`(?m)^service (\w+)Service \{`)
	protoPackage = regexp.MustCompile(`(?m)^package ([\w.]+);`)
	protoMethod  = regexp.MustCompile(`(?s)rpc (\w+)\(.*?\{(.*?)\n  \}`)
)

// storefront has pages in place of calls.
const storefront = "storefront"

// words: services/X is package cellar.X.v1 in proto/cellar/X/v1 with service XService, every method with an audience.
func words(t *Tree) (broken []string) {
	described := map[string]bool{}
	for name, content := range t.Other {
		if !strings.HasPrefix(name, "proto/") {
			continue
		}
		parts := strings.Split(path.Dir(name), "/")
		wantPackage := strings.Join(parts[1:], ".")
		if m := protoPackage.FindStringSubmatch(content); m == nil || m[1] != wantPackage {
			broken = append(broken, fmt.Sprintf("%s is not of package %s", name, wantPackage))
		}
		m := protoService.FindStringSubmatch(content)
		if m == nil {
			continue
		}
		word := parts[len(parts)-2]
		described[word] = true
		if strings.ToLower(m[1]) != word {
			broken = append(broken, fmt.Sprintf("%s has the service %sService, not that of %s", name, m[1], word))
		}
		for _, method := range protoMethod.FindAllStringSubmatch(content, -1) {
			if !strings.Contains(method[2], "(cellar.options.v1.audience)") {
				broken = append(broken, fmt.Sprintf("%s: %s does not say who may call it", name, method[1]))
			}
		}
	}
	delete(described, "topology") // the control plane's, in cells/controlplane: it is no service of a cell
	for _, s := range t.services() {
		if s == storefront {
			continue
		}
		if !described[s] {
			broken = append(broken, "services/"+s+" has no service in proto/cellar/"+s+"/v1")
		}
		delete(described, s)
	}
	for word := range described {
		broken = append(broken, "proto/cellar/"+word+"/v1 has a service that services/"+word+" does not implement")
	}
	slices.Sort(broken)
	return broken
}

// serviceFiles: the same file name means the same thing in every service.
func serviceFiles(t *Tree) (broken []string) {
	for _, s := range t.services() {
		have := map[string]bool{}
		for _, f := range t.Go {
			if f.Dir() == "services/"+s {
				have[path.Base(f.Path)] = true
			}
		}
		for _, want := range []string{"doc.go", "service.go", "rpc.go"} {
			if !have[want] && (s != storefront || want != "rpc.go") {
				broken = append(broken, "services/"+s+" has no "+want)
			}
		}
		if s != "checkout" && s != "fulfillment" && !have[s+".go"] { // theirs are placement.go and plan.go: what they are about
			broken = append(broken, "services/"+s+" has no "+s+".go")
		}
	}
	return broken
}
