package human

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns s with its hidden parts written as escapes: bytes that are not UTF-8, control
// characters, and characters that direct or join the text around them. So a terminal obeys nothing
// in the text, and a page shows all of it. Line ends and tabs stay.
func Visible(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Line is [Visible] on one line. It quotes a text of several lines, and one that has hidden parts.
func Line(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) && !strings.ContainsAny(s, "\n\t") {
		return s
	}
	return Visible(strconv.Quote(s)) // Quote leaves some hidden characters
}

func hidden(r rune) bool {
	return r != '\n' && r != '\t' &&
		(unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || unicode.Is(unicode.Variation_Selector, r))
}

// Shorten cuts a text to at most that many characters.
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
