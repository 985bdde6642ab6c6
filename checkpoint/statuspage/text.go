package statuspage

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/internal/human"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./@:=+-]+$`)

// word quotes a text as one word of a command line, to be copied into a shell.
func word(s string) string {
	if plainWord.MatchString(s) && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// stateText returns a state as readable lines: JSON indented, text as it is, other bytes as a dump.
func stateText(state []byte) string {
	switch {
	case json.Valid(state):
		var b bytes.Buffer
		if json.Indent(&b, state, "", "  ") == nil {
			return human.Visible(b.String()) + "\n"
		}
	case utf8.Valid(state) && !bytes.ContainsFunc(state, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }):
		return human.Visible(string(state))
	}
	const most = 16 << 10
	text := hex.Dump(state[:min(len(state), most)])
	if len(state) > most {
		text += fmt.Sprintf("… and %s bytes more\n", human.Thousands(int64(len(state)-most)))
	}
	return text
}
