package dirarchive

import (
	"fmt"
	"strconv"
	"strings"
)

// How a key becomes a path. Each segment becomes the name of a file or directory that any file
// system can hold. No two keys become the same path, even where a file system does not tell a from
// A, or é in its two spellings:
//
//   - A capital letter is written !a, as in Go's module cache. Every byte except a–z 0–9 - _ . is
//     written %xx. So are a dot at either end, and the first letter of a name that Windows reserves
//     (con, nul.txt, …).
//   - A segment that is too long goes on in a directory below: name%+/+rest.
//   - One name cannot be both a file and a directory, as the keys a/b and a/b/c would need. So the
//     name of a file begins with a digit or ends in .json, and the name of a directory does neither.
//     If a segment does not fit this, ~ follows it.
//
// Files whose names begin with a dot belong to this package.
const (
	longestName = 240 // of the 255 bytes that file systems take
	goesOn      = "%+"
	goneOn      = "+"
	otherwise   = "~"
)

// filePath returns the path of the object under a valid key.
func filePath(key string) []string {
	segments := strings.Split(key, "/")
	var path []string
	for i, segment := range segments {
		path = append(path, segmentPath(segment, i == len(segments)-1)...)
	}
	return path
}

// segmentPath returns the names that a segment becomes: one, unless it is too long.
func segmentPath(segment string, file bool) []string {
	var path []string
	var name strings.Builder
	for i := range len(segment) {
		c := escape(segment, i)
		if name.Len()+len(c) > longestName {
			path = append(path, name.String()+goesOn)
			name.Reset()
			name.WriteString(goneOn)
		}
		name.WriteString(c)
	}
	if looksLikeFile(segment) != file {
		name.WriteString(otherwise)
	}
	return append(path, name.String())
}

func looksLikeFile(segment string) bool {
	return '0' <= segment[0] && segment[0] <= '9' || strings.HasSuffix(segment, ".json")
}

func escape(segment string, i int) string {
	c := segment[i]
	switch {
	case 'a' <= c && c <= 'z':
		if i == 0 && reserved(segment) {
			return hexByte(c)
		}
		return string(c)
	case 'A' <= c && c <= 'Z':
		return "!" + string(c-'A'+'a')
	case '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0 && i < len(segment)-1:
		return string(c)
	}
	return hexByte(c)
}

func hexByte(c byte) string { return fmt.Sprintf("%%%02x", c) }

// reserved reports whether Windows takes a name for the name of a device. A segment with a capital
// letter is never reserved, since its capitals are escaped.
func reserved(segment string) bool {
	base, _, _ := strings.Cut(segment, ".")
	switch base {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(base) == 4 && (base[:3] == "com" || base[:3] == "lpt") && '0' <= base[3] && base[3] <= '9'
}

// part is one name of a path, taken apart.
type part struct {
	text   string // the segment, or the part of it that the name holds
	goesOn bool   // more of the segment follows below
}

// parseName takes apart a name that segmentPath may have made. It returns false if segmentPath has
// not made it; to be certain that it has, the caller makes the name again.
func parseName(name string, dir bool) (part, bool) {
	var p part
	name = strings.TrimPrefix(name, goneOn)
	if dir {
		name, p.goesOn = strings.CutSuffix(name, goesOn)
	}
	name = strings.TrimSuffix(name, otherwise)
	var ok bool
	p.text, ok = unescape(name)
	return p, ok && p.text != ""
}

// unescape returns the text that a name, without its marks, was made from.
func unescape(name string) (string, bool) {
	var s strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '!' && i+1 < len(name) && 'a' <= name[i+1] && name[i+1] <= 'z':
			i++
			s.WriteByte(name[i] - 'a' + 'A')
		case c == '%' && i+2 < len(name):
			b, err := strconv.ParseUint(name[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			i += 2
			s.WriteByte(byte(b))
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			s.WriteByte(c)
		default:
			return "", false
		}
	}
	return s.String(), true
}
