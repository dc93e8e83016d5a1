package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path that our own imports begin with.
const module = "github.com/cellar-commerce/cellar/"

// Tree is the source tree.
type Tree struct {
	Go []*GoFile
	// Other files that rules read: proto, SQL, Markdown; by slash path.
	Other map[string]string
}

// GoFile is one parsed file.
type GoFile struct {
	// Path with slashes, from the root of the tree.
	Path  string
	Lines int
	Set   *token.FileSet
	AST   *ast.File
}

// Dir of the file.
func (f *GoFile) Dir() string { return path.Dir(f.Path) }

// Test tells a test file.
func (f *GoFile) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Generated tells code that a program wrote.
func (f *GoFile) Generated() bool { return strings.HasPrefix(f.Path, "internal/gen/") }

// Imports of the file.
func (f *GoFile) Imports() []string {
	var all []string
	for _, spec := range f.AST.Imports {
		all = append(all, strings.Trim(spec.Path.Value, `"`))
	}
	return all
}

// In tells whether the file lies in a folder or below.
func (f *GoFile) In(dir string) bool { return f.Dir() == dir || strings.HasPrefix(f.Path, dir+"/") }

func (f *GoFile) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Path, f.Set.Position(node.Pos()).Line)
}

// Read the tree below a folder.
func Read(root string) (*Tree, error) {
	t := &Tree{Other: map[string]string{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "node_modules", "testdata", "tools"}, d.Name())) {
				return filepath.SkipDir
			}
			return nil
		}
		return t.add(rel, name)
	})
	return t, err
}

func (t *Tree) add(rel, name string) error {
	switch path.Ext(rel) {
	case ".go", ".proto", ".sql", ".md":
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return t.Add(rel, string(b))
	default:
		return nil
	}
}

// Add a file to the tree.
func (t *Tree) Add(rel, content string) error {
	if path.Ext(rel) != ".go" {
		t.Other[rel] = content
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, rel, content, parser.ParseComments)
	if err != nil {
		return err
	}
	t.Go = append(t.Go, &GoFile{Path: rel, Lines: strings.Count(content, "\n"), Set: set, AST: file})
	return nil
}

// services are the folders below services/ that hold Go code.
func (t *Tree) services() []string {
	seen := map[string]bool{}
	var all []string
	for _, f := range t.Go {
		rest, ok := strings.CutPrefix(f.Path, "services/")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		if !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
