package cellctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// print a value as JSON or YAML, or by its table.
func (o *options) print(out io.Writer, v any, table func(io.Writer) error) error {
	switch o.output {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "yaml":
		b, err := asYAML(v)
		if err != nil {
			return err
		}
		_, err = out.Write(b)
		return err
	}
	return table(out)
}

// printMessage as print does.
func (o *options) printMessage(out io.Writer, m proto.Message, table func(io.Writer) error) error {
	return o.print(out, raw(m), table)
}

// asYAML of a value: what its JSON says, in the same order and under the same names.
func asYAML(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil { // JSON is YAML
		return nil, fmt.Errorf("as YAML: %w", err)
	}
	unquote(&n)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return nil, fmt.Errorf("as YAML: %w", err)
	}
	return out.Bytes(), e.Close()
}

// unquote what JSON has to quote and YAML has not: with no style a node is written as its kind and content need.
func unquote(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, c := range n.Content {
		unquote(c)
	}
}

// raw is a message as JSON.
func raw(m proto.Message) json.RawMessage {
	b, err := protojson.Marshal(m)
	if err != nil { // of a message that has just come over the wire
		return json.RawMessage("null")
	}
	return b
}

// raws are messages as JSON; never null.
func raws[M proto.Message](all []M) []json.RawMessage {
	out := make([]json.RawMessage, len(all))
	for i, m := range all {
		out[i] = raw(m)
	}
	return out
}

// columns writes lines of columns that are separated by tabs.
func columns(out io.Writer, lines ...string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, line := range lines {
		_, _ = fmt.Fprintln(w, strings.TrimRight(line, "\t")) // Flush tells
	}
	return w.Flush()
}

// tabbed is a line of columns.
func tabbed(values ...any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, "\t")
}

// word of an enum's value: its name without its type's, in small letters.
func word(s fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), prefix))
}

// when in UTC, to the second; a dash for none.
func when(t *timestamppb.Timestamp) string {
	if !t.IsValid() || t.AsTime().Unix() == 0 {
		return "-"
	}
	return t.AsTime().UTC().Format(time.DateTime)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// age of what happened then.
func age(t *timestamppb.Timestamp) string {
	return max(time.Since(t.AsTime()), 0).Truncate(time.Second).String()
}

func count[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// terminal tells whether somebody may look at what is written there, or type what is read.
func terminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// bold on a terminal, unless NO_COLOR says that nothing is to be adorned.
func bold(out io.Writer, s string) string {
	if !terminal(out) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}
