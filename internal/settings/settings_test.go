package settings_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/settings"
)

type config struct {
	Listen string        `name:"listen"    default:":1" usage:"address"`
	Conns  int           `name:"max-conns" default:"4"  usage:"connections"`
	Every  time.Duration `name:"every"     default:"1s" usage:"period"`
	Loud   bool          `name:"loud"      default:"false" usage:"talk more"`
}

func load(environ, args []string) (config, string, error) {
	var c config
	var out strings.Builder
	err := settings.Load(&c, settings.Source{Prefix: "CELLAR_X", Environ: environ, Args: args, Out: &out})
	return c, out.String(), err
}

func TestFlagsOverrideTheEnvironmentWhichOverridesDefaults(t *testing.T) {
	c, _, err := load([]string{"CELLAR_X_LISTEN=:2", "CELLAR_X_MAX_CONNS=9", "OTHER=1"}, []string{"--listen", ":3", "--loud=true"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (config{Listen: ":3", Conns: 9, Every: time.Second, Loud: true}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"unknown variable": {env: []string{"CELLAR_X_LISTNE=:2"}, want: "CELLAR_X_LISTNE"},
		"no number":        {env: []string{"CELLAR_X_MAX_CONNS=many"}, want: "max-conns (from CELLAR_X_MAX_CONNS)"},
		"unknown flag":     {args: []string{"--listne", "x"}, want: "listne"},
		"stray argument":   {args: []string{"x"}, want: `"x"`},
		"no duration":      {args: []string{"--every", "5"}, want: "250ms"},
	} {
		if _, _, err := load(c.env, c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

func TestPrintConfigTellsWhereFrom(t *testing.T) {
	_, out, err := load([]string{"CELLAR_X_LISTEN=:2"}, []string{"--every=2s", "--print-config"})
	if !errors.Is(err, settings.ErrPrinted) {
		t.Fatal(err)
	}
	for _, want := range []string{"listen=:2\t# CELLAR_X_LISTEN\n", "every=2s\t# flag\n", "max-conns=4\t# default\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
