// Package settings reads a program's configuration: the environment first, flags override.
//
// A program declares a struct; each field has a name, a default and a sentence:
//
//	type config struct {
//		Listen string `name:"listen" default:":8080" usage:"address of the public listener"`
//	}
//
// With the prefix CELLAR_ROUTER the field is read from CELLAR_ROUTER_LISTEN and from the flag
// --listen. A variable with the program's prefix that no field has is an error, since it is
// almost always a misspelling. Secrets are read from files: a field tagged `file:"true"` holds a
// path. --print-config shows what was read, and where from, and ends the program.
package settings
