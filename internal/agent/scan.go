package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// scanner walks through a line of JSON.
type scanner struct {
	line []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.line) && (s.line[s.at] == ' ' || s.line[s.at] == '\t' || s.line[s.at] == '\r') {
		s.at++
	}
}

// next skips white space, and then the next character if it is c.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at == len(s.line) || s.line[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) wrong(wanted string) error {
	if s.at >= len(s.line) {
		return fmt.Errorf("the line ends where %s is wanted", wanted)
	}
	return fmt.Errorf("%s is wanted at byte %d of the line", wanted, s.at)
}

// string skips a string, and returns it with its quotes.
func (s *scanner) string() ([]byte, error) {
	if !s.next('"') {
		return nil, s.wrong("a string")
	}
	start := s.at - 1
	if err := s.rest(); err != nil {
		return nil, err
	}
	return s.line[start:s.at], nil
}

// rest skips the rest of a string.
func (s *scanner) rest() error {
	for ; s.at < len(s.line); s.at++ {
		switch c := s.line[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c == '\\':
			s.at++
		case c < ' ':
			return s.wrong("a character that JSON allows in a string")
		}
	}
	s.at = len(s.line)
	return s.wrong("the string's end")
}

// value skips any value, and returns it.
func (s *scanner) value() ([]byte, error) {
	s.space()
	if s.at == len(s.line) {
		return nil, s.wrong("a value")
	}
	start := s.at
	switch s.line[s.at] {
	case '"':
		return s.string()
	case '{', '[':
		if err := s.nested(); err != nil {
			return nil, err
		}
	default:
		for s.at < len(s.line) && bytes.IndexByte([]byte(",}] \t\r"), s.line[s.at]) < 0 {
			s.at++
		}
		if s.at == start {
			return nil, s.wrong("a value")
		}
	}
	return s.line[start:s.at], nil
}

// nested skips an object or an array: up to where as many were closed as were opened.
func (s *scanner) nested() error {
	depth := 0
	for s.at < len(s.line) {
		c := s.line[s.at]
		s.at++
		switch c {
		case '"':
			if err := s.rest(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return nil
			}
		}
	}
	return s.wrong("the end of an object or array")
}

// unquote reads a JSON string. Half a surrogate pair is an error: the string could not be returned
// as it came.
func unquote(raw []byte) (string, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", errors.New("a string is wanted")
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", err
	}
	for at := 0; ; {
		i := bytes.IndexByte(inner[at:], '\\')
		if i < 0 {
			return text, nil
		}
		at += i + 2
		if inner[at-1] != 'u' {
			continue
		}
		unit := inner[at : at+4]
		at += 4
		if !isSurrogate(unit, "89abAB") && !isSurrogate(unit, "cdefCDEF") {
			continue
		}
		if isSurrogate(unit, "cdefCDEF") || len(inner) < at+6 || inner[at] != '\\' || inner[at+1] != 'u' ||
			!isSurrogate(inner[at+2:at+6], "cdefCDEF") {
			return "", errors.New("half a surrogate pair is not a character")
		}
		at += 6
	}
}

// isSurrogate reports whether four hexadecimal digits are a surrogate whose second digit is in
// second.
func isSurrogate(digits []byte, second string) bool {
	return (digits[0] == 'd' || digits[0] == 'D') && bytes.IndexByte([]byte(second), digits[1]) >= 0
}
