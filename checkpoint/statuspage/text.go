package statuspage

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible is a text of the users' in which nothing hides or turns what stands around it: bytes that are no UTF-8, control characters
// and those that direct or join text are written out. Line ends and tabs stay.
func visible(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r != utf8.RuneError && hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	return r == utf8.RuneError || r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || unicode.Is(unicode.Variation_Selector, r))
}

// shorten keeps a text to a number of characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// thousands writes 1203870 as 1,203,870.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	digits, sign := strings.TrimPrefix(s, "-"), ""
	if digits != s {
		sign = "-"
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// span writes a duration as people say it: 28 s, 3 min 12 s, 2 h 5 min, 3 days.
func span(d time.Duration) string {
	two := func(n time.Duration, unit string, rest time.Duration, restUnit string) string {
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		return fmt.Sprintf("%d %s %d %s", n, unit, rest, restUnit)
	}
	switch d = max(d, 0).Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	case d < 48*time.Hour:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return span(now.Sub(t)) + " ago"
}

// clock writes t as a person on call compares it with a log: seconds, UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func perSecond(rate float64) string {
	switch {
	case rate <= 0:
		return "–"
	case rate < 10:
		return fmt.Sprintf("%.1f/s", rate)
	}
	return thousands(int64(rate)) + "/s"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./@:=+-]+$`)

// word is a text as one word of a command line, to be copied into a shell.
func word(s string) string {
	if plainWord.MatchString(s) && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// stateText is a state as people read it, line by line: JSON indented, text as it is, and anything else as a dump.
func stateText(state []byte) string {
	switch {
	case json.Valid(state):
		var b bytes.Buffer
		if json.Indent(&b, state, "", "  ") == nil {
			return visible(b.String()) + "\n"
		}
	case utf8.Valid(state) && !bytes.ContainsFunc(state, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }):
		return visible(string(state))
	}
	const most = 16 << 10
	text := hex.Dump(state[:min(len(state), most)])
	if len(state) > most {
		text += fmt.Sprintf("… and %s bytes more\n", thousands(int64(len(state)-most)))
	}
	return text
}
