package store

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names, in bytes.
const (
	MaxNamespace = 64
	MaxName      = 512
)

// DefaultNamespace is the namespace where none is given.
const DefaultNamespace = "default"

// Key names one checkpoint.
type Key struct {
	Namespace string
	Name      string
}

// String returns namespace#name, or the name alone in the default namespace. The key of a listing
// has no name; then String returns "namespace" and the namespace.
func (k Key) String() string {
	if k.Name == "" {
		return "namespace " + k.Namespace
	}
	if k.Namespace == DefaultNamespace {
		return k.Name
	}
	return k.Namespace + "#" + k.Name
}

// Filled returns k in the default namespace if it names none.
func (k Key) Filled() Key {
	k.Namespace = cmp.Or(k.Namespace, DefaultNamespace)
	return k
}

// Validate returns an error that wraps [ErrName], and says what is wrong with the key and what
// would be right. Names are bytes: nothing is normalised.
func (k Key) Validate() error {
	if err := ValidateNamespace(k.Namespace); err != nil {
		return err
	}
	return validateName(k.Name)
}

// ValidateNamespace is [Key.Validate] for the namespace alone. A namespace has no '#' and no '/':
// with them, two keys could be the same partition key in a table, or the same path in a bucket.
func ValidateNamespace(ns string) error {
	bad := func(why string) error {
		return fmt.Errorf("namespace %s: %w: %s", quoted(ns), ErrName, why)
	}
	switch {
	case ns == "":
		return bad("it is empty; the usual one is \"default\"")
	case len(ns) > MaxNamespace:
		return bad(fmt.Sprintf("it has %d bytes, and the limit is %d", len(ns), MaxNamespace))
	case strings.ContainsAny(ns, "#/"):
		return bad("it must not contain '#' or '/'")
	case ns == "." || ns == "..":
		return bad("'.' and '..' are not namespaces")
	}
	if why := badText(ns); why != "" {
		return bad(why)
	}
	return nil
}

func validateName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("checkpoint name %s: %w: %s", quoted(name), ErrName, why)
	}
	switch {
	case name == "":
		return bad("it is empty; use a path such as orders/eu/shard-03")
	case len(name) > MaxName:
		return bad(fmt.Sprintf("it has %d bytes, and the limit is %d", len(name), MaxName))
	}
	if why := badText(name); why != "" {
		return bad(why)
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch segment {
		case "":
			return bad("a segment between slashes is empty")
		case ".", "..":
			return bad(fmt.Sprintf("a segment must not be %q", segment))
		}
	}
	return nil
}

func badText(s string) string {
	if !utf8.ValidString(s) {
		return "it is not valid UTF-8"
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Sprintf("it contains the control character %U", r)
	}
	if i := strings.IndexFunc(s, NotInXML); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Sprintf("it contains %U, which a listing of S3 cannot hold", r)
	}
	return ""
}

// NotInXML reports whether r is one of the two characters, besides control characters, that XML
// cannot hold. The listings of S3 are XML, so no name has them.
func NotInXML(r rune) bool { return r == '\uFFFE' || r == '\uFFFF' }

// quoted quotes a name for an error, and cuts it if it is long.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
