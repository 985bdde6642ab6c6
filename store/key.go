package store

import (
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

// DefaultNamespace is used where none is named.
const DefaultNamespace = "default"

// Key names one checkpoint.
type Key struct {
	Namespace string
	Name      string
}

// String returns namespace#name, or the name alone in the default namespace. Without a name, as of a listing, it is the namespace's.
func (k Key) String() string {
	if k.Name == "" {
		return "namespace " + k.Namespace
	}
	if k.Namespace == DefaultNamespace {
		return k.Name
	}
	return k.Namespace + "#" + k.Name
}

// Validate reports an error that wraps [ErrName], names what is wrong with the
// key, and says what would be right. Names are taken as bytes: nothing is
// normalised.
func (k Key) Validate() error {
	if err := ValidateNamespace(k.Namespace); err != nil {
		return err
	}
	return validateName(k.Name)
}

// ValidateNamespace is [Key.Validate] for the namespace alone. A namespace has
// no '#', which would make two keys fall together in a table's partition key,
// and no '/', which would do so in a bucket.
func ValidateNamespace(ns string) error {
	bad := func(why string) error {
		return fmt.Errorf("namespace %s: %w: %s", quoted(ns), ErrName, why)
	}
	switch {
	case ns == "":
		return bad("it is empty; the usual one is \"default\"")
	case len(ns) > MaxNamespace:
		return bad(fmt.Sprintf("it has %d bytes, and %d are the limit", len(ns), MaxNamespace))
	case strings.ContainsAny(ns, "#/"):
		return bad("it may hold neither '#' nor '/'")
	case ns == "." || ns == "..":
		return bad("'.' and '..' are no namespaces")
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
		return bad(fmt.Sprintf("it has %d bytes, and %d are the limit", len(name), MaxName))
	}
	if why := badText(name); why != "" {
		return bad(why)
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch segment {
		case "":
			return bad("a segment between slashes is empty")
		case ".", "..":
			return bad(fmt.Sprintf("%q is no segment of a name", segment))
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
		return fmt.Sprintf("it holds the control character %U", r)
	}
	return ""
}

// quoted keeps a hostile name readable and short in an error.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
