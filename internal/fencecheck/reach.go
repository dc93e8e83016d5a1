package fencecheck

import (
	"fmt"
	"go/ast"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// Offence is a place where customers' rows may be written without the fence.
type Offence struct {
	// In is the function: "(*package.Type).Method", or "package.Function".
	In string
	// Where it is, as file:line.
	Where string
	// What is wrong there.
	What string
}

const (
	sqldbPath = module + "internal/sqldb"
	fencePath = module + "internal/fence"
	dbType    = "*" + sqldbPath + ".DB"
)

// fenced calls make transactions of which the fence is part.
var fenced = map[string]bool{}

func init() {
	for _, method := range []string{"InSlotTx", "Send", "Join"} {
		fenced["("+fencePath+".Fence)."+method], fenced["(*"+fencePath+".SlotFence)."+method] = true, true
	}
}

// Check the program for writes of these tables without the fence. Reached are the names of the writing statements that
// were found at a fenced call or an offence: one that is not there is run by nobody, or the check is blind to it.
func (p *Program) Check(tables []string) (offences []Offence, reached map[string]bool) {
	c := checker{Program: p, tables: tables, reached: map[string]bool{}}
	for _, key := range slices.Sorted(maps.Keys(p.definitions)) {
		c.look(p.definitions[key])
	}
	return c.offences, c.reached
}

// Writing statements of these tables.
func (p *Program) Writing(tables []string) (names []string) {
	for _, s := range p.statements {
		if s.Database == "Customer" && s.writes(tables) {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Statement) writes(tables []string) bool {
	return slices.ContainsFunc(s.Writes, func(t string) bool { return t == "anything" || slices.Contains(tables, t) })
}

type checker struct {
	*Program
	tables   []string
	offences []Offence
	reached  map[string]bool
}

// look at one definition for entries to a database.
func (c *checker) look(d *definition) {
	called, inside := map[ast.Expr]bool{}, map[ast.Node]bool{}
	ast.Inspect(d.decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			called[ast.Unparen(n.Fun)] = true
			if fenced[keyOf(d.pkg, n.Fun)] {
				ast.Inspect(n, func(in ast.Node) bool { inside[in] = true; return true })
			}
			c.lookAtCall(d, n, inside[n])
		case *ast.SelectorExpr:
			if key := keyOf(d.pkg, n); strings.HasPrefix(key, "("+dbType+").") && !called[n] && !harmless[key[len("("+dbType+")."):]] {
				c.offend(d, n, "takes the method "+n.Sel.Name+" of a database as a value: what is run by it cannot be told")
			}
		}
		return true
	})
}

// harmless methods of a database run nothing.
var harmless = map[string]bool{"Close": true, "Dialect": true, "Database": true, "Ping": true}

func (c *checker) lookAtCall(d *definition, n *ast.CallExpr, inFence bool) {
	key := keyOf(d.pkg, n.Fun)
	method, ofDB := strings.CutPrefix(key, "("+dbType+").")
	switch {
	case fenced[key]:
		for _, s := range c.withParams(d.decl, d) {
			c.reached[s.Name] = true
		}
	case key == sqldbPath+".Collect":
		c.judge(d, n, c.resolve(d, n.Args[2], nil), typeOf(d, n.Args[1]) != sqldbPath+".Tx")
	case strings.HasPrefix(key, "("+sqldbPath+".Querier)."):
		c.judge(d, n, c.resolve(d, n.Args[1], nil), true)
	case ofDB && method == "InTx":
		c.judge(d, n, c.withParams(n.Args[1], d), true)
	case ofDB && method == "Send":
		c.judge(d, n, c.withParams(d.decl, d), true)
	case ofDB && (method == "Exec" || method == "Query" || method == "QueryRow"):
		c.judge(d, n, c.resolve(d, n.Args[1], nil), true)
	case ofDB && !harmless[method]:
		c.offend(d, n, "runs text that is no declared statement")
	case strings.HasPrefix(key, "(") && c.definitions[key] == nil && !strings.HasPrefix(key, "("+sqldbPath) && !strings.HasPrefix(key, "(*"+sqldbPath), key == "":
		if what := carried(d, n); what != "" && !inFence && d.pkg.path != fencePath && !isConversion(d, n) {
			c.offend(d, n, "gives "+what+" to a call that cannot be followed")
		}
	}
}

// withParams is from, and more: what uses a parameter of the function around it, a closure or a statement, reaches what
// that function is called with.
func (c *checker) withParams(node ast.Node, d *definition) []*Statement {
	all := c.from(node, d)
	ast.Inspect(node, func(in ast.Node) bool {
		id, ok := in.(*ast.Ident)
		if !ok {
			return true
		}
		v, _ := d.pkg.info.Uses[id].(*types.Var)
		at := slices.Index(d.params, v)
		if at < 0 {
			return true
		}
		if _, function := v.Type().Underlying().(*types.Signature); function || v.Type().String() == "*"+sqldbPath+".Statement" {
			for _, call := range c.calls[d.key] {
				if at < len(call.expr.Args) {
					all = append(all, c.from(call.expr.Args[at], call.in)...)
				}
			}
		}
		return true
	})
	return all
}

// judge an entry by the statements that it reaches.
func (c *checker) judge(d *definition, n ast.Node, all []*Statement, entry bool) {
	if !entry {
		return
	}
	customers, others := false, false
	for _, s := range all {
		customers = customers || s.Database == "Customer"
		others = others || s.Database == "Regional" || s.Database == "Global"
	}
	names := map[string]bool{}
	for _, s := range all {
		// What runs in any database runs in the one of the statements beside it; alone, it may be the customers'.
		if (s.Database == "Customer" || (s.Database == "Any" && (customers || !others))) && s.writes(c.tables) {
			names[s.Name] = true
			c.reached[s.Name] = true
		}
	}
	if len(names) > 0 {
		c.offend(d, n, "writes outside the fence: "+strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
}

func (c *checker) offend(d *definition, n ast.Node, what string) {
	at := c.set.Position(n.Pos())
	c.offences = append(c.offences, Offence{In: strings.ReplaceAll(d.key, module, ""), Where: fmt.Sprintf("%s:%d", at.Filename, at.Line), What: what})
}

// from a node: the statements that it refers to, and those that what it refers to does.
func (c *checker) from(n ast.Node, d *definition) []*Statement {
	seen := map[string]bool{}
	todo := slices.Collect(maps.Keys(refs(n, d.pkg)))
	var all []*Statement
	for len(todo) > 0 {
		key := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[key] {
			continue
		}
		seen[key] = true
		if s := c.statements[key]; s != nil {
			all = append(all, s)
		} else if next := c.definitions[key]; next != nil {
			if next.refs == nil {
				next.refs = refs(next.decl, next.pkg)
			}
			todo = append(todo, slices.Collect(maps.Keys(next.refs))...)
		}
	}
	return all
}

func refs(n ast.Node, src *source) map[string]bool {
	all := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if key := keyOfObject(src.info.Uses[id]); key != "" {
				all[key] = true
			}
		}
		return true
	})
	return all
}

// anything is what an expression may be that cannot be resolved.
var anything = &Statement{Name: "a statement that cannot be told", Database: "Customer", Writes: []string{"anything"}}

// resolve the statements that an expression may be: a variable of a package, what a local variable is set to, or what a
// parameter is called with.
func (c *checker) resolve(d *definition, expr ast.Expr, seen []types.Object) []*Statement {
	if s := c.statements[keyOf(d.pkg, expr)]; s != nil {
		return []*Statement{s}
	}
	id, ok := ast.Unparen(expr).(*ast.Ident)
	if !ok {
		return []*Statement{anything}
	}
	object := d.pkg.info.ObjectOf(id)
	if slices.Contains(seen, object) {
		return nil
	}
	seen = append(seen, object)
	var all []*Statement
	if v, ok := object.(*types.Var); ok {
		if at := slices.Index(d.params, v); at >= 0 {
			for _, call := range c.calls[d.key] {
				if at < len(call.expr.Args) {
					all = append(all, c.resolve(call.in, call.expr.Args[at], seen)...)
				}
			}
			return all
		}
	}
	for _, value := range assigned(d, object) {
		all = append(all, c.resolve(d, value, seen)...)
	}
	if len(all) == 0 {
		return []*Statement{anything}
	}
	return all
}

// assigned values of a local variable.
func assigned(d *definition, object types.Object) (values []ast.Expr) {
	ast.Inspect(d.decl, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return true
		}
		for i, left := range a.Lhs {
			if id, ok := left.(*ast.Ident); ok && d.pkg.info.ObjectOf(id) == object {
				values = append(values, a.Rhs[i])
			}
		}
		return true
	})
	return values
}

func typeOf(d *definition, expr ast.Expr) string {
	t := d.pkg.info.TypeOf(expr)
	if t == nil {
		return ""
	}
	return t.String()
}

func isConversion(d *definition, n *ast.CallExpr) bool { return d.pkg.info.Types[n.Fun].IsType() }

// carried by a call: a transaction or a batch among its arguments.
func carried(d *definition, n *ast.CallExpr) string {
	for _, arg := range n.Args {
		switch typeOf(d, arg) {
		case sqldbPath + ".Tx":
			return "a transaction"
		case "*" + sqldbPath + ".Batch":
			return "a batch"
		}
	}
	return ""
}
