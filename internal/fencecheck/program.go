package fencecheck

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// module is the path that our own packages begin with.
const module = "github.com/cellar-commerce/cellar/"

// Statement as it is defined in the code.
type Statement struct {
	// Name and Database as given to sqldb.Define; the database is the name of its constant.
	Name, Database string
	// Writes are the tables that it inserts into, updates or deletes from.
	Writes []string
}

// definition of a function or a variable of a package.
type definition struct {
	key  string
	pkg  *source
	decl ast.Node // *ast.FuncDecl, or the variable's value
	// params of a function in order, with the receiver left out.
	params []*types.Var
	refs   map[string]bool // found when first asked for
}

// source is one package, read and typed.
type source struct {
	path  string
	files []*ast.File
	info  *types.Info
}

// Program is the code that is looked at.
type Program struct {
	set         *token.FileSet
	sources     []*source
	definitions map[string]*definition
	statements  map[string]*Statement // by the key of their variable
	calls       map[string][]call     // of a function, by its key
}

// call of a function that is known by name.
type call struct {
	in   *definition
	expr *ast.CallExpr
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// Load the program that lies in a folder. Overlay names a file as go build -overlay takes it, or nothing: files in whose
// place others are read.
func Load(ctx context.Context, root, overlay string) (*Program, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	replaced := struct{ Replace map[string]string }{}
	if overlay != "" {
		b, err := os.ReadFile(overlay)
		if err == nil {
			err = json.Unmarshal(b, &replaced)
		}
		if err != nil {
			return nil, fmt.Errorf("fencecheck: overlay: %w", err)
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./services/...", "./internal/...", "./cells/...")...)
	cmd.Dir = root
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fencecheck: go list: %w\n%s", err, told.String())
	}
	p := &Program{set: token.NewFileSet(), definitions: map[string]*definition{}, statements: map[string]*Statement{}, calls: map[string][]call{}}
	exports := map[string]string{}
	var ours []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("fencecheck: go list: %w", err)
		}
		exports[l.ImportPath] = l.Export
		if looked(l.ImportPath) {
			ours = append(ours, l)
		}
	}
	imports := importer.ForCompiler(p.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, l := range ours {
		if err := p.read(l, imports, replaced.Replace); err != nil {
			return nil, fmt.Errorf("fencecheck: %s: %w", l.ImportPath, err)
		}
	}
	for _, d := range p.definitions {
		p.findCalls(d)
	}
	return p, nil
}

// looked tells which packages are looked at: not generated ones, not what runs the statements, and not the benches, which
// write databases of their own.
func looked(path string) bool {
	rest, ours := strings.CutPrefix(path, module)
	for _, other := range []string{"internal/gen/", "internal/sqldb", "internal/bench", "internal/fencecheck"} {
		if strings.HasPrefix(rest, other) {
			return false
		}
	}
	return ours && (strings.HasPrefix(rest, "services/") || strings.HasPrefix(rest, "internal/") || strings.HasPrefix(rest, "cells"))
}

func (p *Program) read(l listed, imports types.Importer, replaced map[string]string) error {
	src := &source{path: l.ImportPath, info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}}
	for _, name := range l.GoFiles {
		at := filepath.Join(l.Dir, name)
		from := at
		if other, ok := replaced[at]; ok {
			from = other
		}
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(p.set, at, content, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		src.files = append(src.files, file)
	}
	if _, err := (&types.Config{Importer: imports}).Check(l.ImportPath, p.set, src.files, src.info); err != nil {
		return err
	}
	p.sources = append(p.sources, src)
	for _, file := range src.files {
		for _, decl := range file.Decls {
			p.define(src, decl)
		}
	}
	return nil
}

func (p *Program) define(src *source, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		fn, ok := src.info.Defs[decl.Name].(*types.Func)
		if !ok {
			return
		}
		d := &definition{key: fn.FullName(), pkg: src, decl: decl}
		for v := range fn.Signature().Params().Variables() {
			d.params = append(d.params, v)
		}
		p.definitions[d.key] = d
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			values, ok := spec.(*ast.ValueSpec)
			if !ok || len(values.Values) != len(values.Names) {
				continue
			}
			for i, name := range values.Names {
				key := src.path + "." + name.Name
				if s := p.statement(src, values.Values[i]); s != nil {
					p.statements[key] = s
				} else {
					p.definitions[key] = &definition{key: key, pkg: src, decl: values.Values[i]}
				}
			}
		}
	}
}

var writing = regexp.MustCompile(`\b(?:INSERT\s+INTO|DELETE\s+FROM|UPDATE)\s+(\w+)`)

// statement that an expression defines; nil for any other expression.
func (p *Program) statement(src *source, expr ast.Expr) *Statement {
	c, ok := expr.(*ast.CallExpr)
	if !ok || keyOf(src, c.Fun) != module+"internal/sqldb.Define" {
		return nil
	}
	database, _ := c.Args[0].(*ast.SelectorExpr)
	s := &Statement{Name: text(src, c.Args[1])}
	if database != nil {
		s.Database = database.Sel.Name
	}
	for _, m := range writing.FindAllStringSubmatch(text(src, c.Args[2]), -1) {
		s.Writes = append(s.Writes, m[1])
	}
	return s
}

func text(src *source, expr ast.Expr) string {
	if v := src.info.Types[expr].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v)
	}
	return "unknown: INSERT INTO anything" // text that is no constant may be anything
}

// keyOf the function, method or package variable that an expression names; empty for anything else.
func keyOf(src *source, expr ast.Expr) string {
	switch e := ast.Unparen(expr).(type) {
	case *ast.Ident:
		return keyOfObject(src.info.Uses[e])
	case *ast.SelectorExpr:
		return keyOfObject(src.info.Uses[e.Sel])
	case *ast.IndexExpr: // of a type
		return keyOf(src, e.X)
	case *ast.IndexListExpr:
		return keyOf(src, e.X)
	}
	return ""
}

func keyOfObject(o types.Object) string {
	switch o := o.(type) {
	case *types.Func:
		return o.Origin().FullName()
	case *types.Var:
		if o.Pkg() != nil && o.Parent() == o.Pkg().Scope() {
			return o.Pkg().Path() + "." + o.Name()
		}
	}
	return ""
}

func (p *Program) findCalls(d *definition) {
	ast.Inspect(d.decl, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if key := keyOf(d.pkg, c.Fun); key != "" {
				p.calls[key] = append(p.calls[key], call{d, c})
			}
		}
		return true
	})
}
