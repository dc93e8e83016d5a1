package cellctl

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// unconfirmedf: nobody has confirmed it.
func unconfirmedf(format string, args ...any) error {
	return coded{fmt.Errorf(format, args...), ExitUnconfirmed}
}

// confirm that the operator means this saga: its id is to be typed.
func confirm(in io.Reader, talk io.Writer, verb, id string) error {
	return confirmTyped(in, talk, fmt.Sprintf("%s this saga? Type its id to go on: ", verb), id, verb)
}

// confirmName of what is to be changed, by typing it.
func confirmName(in io.Reader, talk io.Writer, question, name string) error {
	return confirmTyped(in, talk, fmt.Sprintf("%s Type %s to go on: ", question, bold(talk, name)), name, "go on")
}

func confirmTyped(in io.Reader, talk io.Writer, prompt, name, what string) error {
	if f, ok := in.(*os.File); ok && !terminal(f) {
		return unconfirmedf("nobody can be asked here; --yes means to %s without asking", what)
	}
	if _, err := io.WriteString(talk, prompt); err != nil {
		return err
	}
	typed, err := bufio.NewReader(io.LimitReader(in, maxTyped)).ReadString('\n')
	if strings.TrimSpace(typed) != name || (err != nil && err != io.EOF) {
		return unconfirmedf("not confirmed; nothing has been changed")
	}
	return nil
}

// maxTyped bounds what is read of what is typed: longer than any name.
const maxTyped = 1 << 10
