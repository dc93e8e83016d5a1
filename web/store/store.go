// Package store has the shop's pages as templates, and their style and script, embedded into the program.
//
// Each page of pages/ fills the blocks of pages/layout.html; what pages share is in pages/parts.html. Everything works
// without script: store.js only makes some of it quicker. No page has a script or a style within: the content security
// policy forbids both.
package store

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

//go:embed pages/*.html assets/*
var files embed.FS

// Pages parses every page with the functions it uses; by name without ".html".
func Pages(functions template.FuncMap) (map[string]*template.Template, error) {
	base, err := template.New("layout.html").Funcs(functions).ParseFS(files, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "layout" || page == "parts" {
			continue
		}
		own, err := base.Clone()
		if err == nil {
			own, err = own.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		pages[page] = own
	}
	return pages, nil
}

// Asset that a page refers to.
type Asset struct {
	Content []byte
	Type    string
	// Version changes with the content: an address that has it never goes stale.
	Version string
}

var types = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// Assets by file name.
func Assets() (map[string]Asset, error) {
	assets := map[string]Asset{}
	entries, err := files.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	for _, e := range entries {
		content, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("assets: %w", err)
		}
		sum := sha256.Sum256(content)
		assets[e.Name()] = Asset{Content: content, Type: types[path.Ext(e.Name())], Version: hex.EncodeToString(sum[:6])}
	}
	return assets, nil
}
