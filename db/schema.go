package db

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/cellar-commerce/cellar/internal/sqldb"
)

//go:embed schema
var files embed.FS

// Step is one migration.
type Step struct {
	// Number from 1, without gaps.
	Number int
	// Name is the file's, for example "0007_create_orders".
	Name string
	// Text is one statement, with marks for the dialects.
	Text string
}

var folder = map[sqldb.Database]string{sqldb.Global: "global", sqldb.Customer: "customer", sqldb.Regional: "regional"}

// Steps of a database, in order.
func Steps(database sqldb.Database) ([]Step, error) {
	dir := path.Join("schema", folder[database])
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("db: steps of %s: %w", database, err)
	}
	steps := make([]Step, 0, len(entries))
	for i, e := range entries { // sorted by name
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("db: steps of %s: %w", database, err)
		}
		name := strings.TrimSuffix(e.Name(), ".sql")
		digits, _, _ := strings.Cut(name, "_")
		if n, err := strconv.Atoi(digits); err != nil || n != i+1 || len(digits) != 4 {
			return nil, fmt.Errorf("db: step %s of %s should have number %04d", e.Name(), database, i+1)
		}
		steps = append(steps, Step{Number: i + 1, Name: name, Text: string(text)})
	}
	return steps, nil
}

// Whole is the current schema of a database as one text of many statements, without the region type.
func Whole(database sqldb.Database) (string, error) {
	text, err := fs.ReadFile(files, "schema/"+folder[database]+".sql")
	return string(text), err
}
