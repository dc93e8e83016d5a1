package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// ErrPrinted: the configuration was asked for and has been printed; the program should end with success.
var ErrPrinted = errors.New("the configuration was printed")

// Source of a configuration.
type Source struct {
	// Prefix of the environment's variables, for example "CELLAR_ROUTER".
	Prefix string
	// Environ as os.Environ gives it.
	Environ []string
	// Args as os.Args[1:] gives them.
	Args []string
	// Out gets the answer to --print-config and --help.
	Out io.Writer
}

// Load fills the struct that config points to. Fields are strings, ints, bools or time.Durations.
func Load(config any, src Source) error {
	v := reflect.ValueOf(config).Elem()
	flags := flag.NewFlagSet(strings.ToLower(src.Prefix), flag.ContinueOnError)
	flags.SetOutput(src.Out)
	show := flags.Bool("print-config", false, "print the configuration and where it comes from, then end")
	env, err := ours(src, v.Type())
	if err != nil {
		return err
	}
	origin := map[string]string{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("name")
		value, from := f.Tag.Get("default"), "default"
		if set, ok := env[variable(src.Prefix, name)]; ok {
			value, from = set, variable(src.Prefix, name)
		}
		origin[name] = from
		if err := assign(v.Field(i), value); err != nil {
			return fmt.Errorf("settings: %s (from %s): %w", name, from, err)
		}
		flags.Func(name, fmt.Sprintf("%s (default %q, or %s)", f.Tag.Get("usage"), f.Tag.Get("default"), variable(src.Prefix, name)), func(s string) error {
			origin[name] = "flag"
			return assign(v.Field(i), s)
		})
	}
	if err := flags.Parse(src.Args); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("settings: unexpected argument %q", flags.Arg(0))
	}
	if *show {
		return printConfig(v, origin, src.Out)
	}
	return nil
}

func variable(prefix, name string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ours picks the environment's variables with the prefix, and refuses those that no field has.
func ours(src Source, t reflect.Type) (map[string]string, error) {
	known := map[string]bool{}
	for i := range t.NumField() {
		known[variable(src.Prefix, t.Field(i).Tag.Get("name"))] = true
	}
	found := map[string]string{}
	for _, kv := range src.Environ {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, src.Prefix+"_") {
			continue
		}
		if !known[key] {
			return nil, fmt.Errorf("settings: the environment has %s, which is no setting; --help lists them", key)
		}
		found[key] = value
	}
	return found, nil
}

func assign(field reflect.Value, text string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(text)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		field.SetInt(int64(n))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 250ms or 5s", text)
		}
		field.SetInt(int64(d))
	default:
		return fmt.Errorf("a setting cannot be a %s", field.Type())
	}
	return nil
}

func printConfig(v reflect.Value, origin map[string]string, out io.Writer) error {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("name")
		if _, err := fmt.Fprintf(out, "%s=%v\t# %s\n", name, v.Field(i).Interface(), origin[name]); err != nil {
			return err
		}
	}
	return ErrPrinted
}
