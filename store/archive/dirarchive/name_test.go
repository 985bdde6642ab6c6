package dirarchive

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/store/archive"
)

func TestAKeyReadsAsItselfWhereAFileSystemCanHoldIt(t *testing.T) {
	long := strings.Repeat("n", 500)
	for _, test := range []struct{ key, want string }{
		{"v/default/orders/eu/latest.json", "v/default/orders/eu/latest.json"},
		{"v/default/orders/00000000000000000012-3-ab.json", "v/default/orders/00000000000000000012-3-ab.json"},
		{"body/default/orders/12-abC", "body/default/orders/12-ab!c"},
		{"body/default/orders/12-ab/13-cd", "body/default/orders/12-ab~/13-cd"},
		{"v/default/latest.json/latest.json", "v/default/latest.json~/latest.json"},
		{"check", "check~"},
		{"a/Con", "a/!con~"},
		{"a/con", "a/%63on~"},
		{"nul.txt/1", "%6eul.txt/1"},
		{"com1/1", "%63om1/1"},
		{"computer/1", "computer/1"},
		{"é/1", "%c3%a9/1"},
		{"e\u0301/1", "e%cc%81/1"},
		{".hidden./1", "%2ehidden%2e/1"},
		{"a:b ~%!/1", "a%3ab%20%7e%25%21/1"},
		{long + "/1", long[:240] + "%+/+" + long[:239] + "%+/+" + long[:21] + "/1"},
	} {
		assert.Equal(t, test.want, path.Join(filePath(test.key)...), "path of key %q", test.key)
	}
}

// Two keys never fall together, and never is one's file another's directory, on a file system
// that folds case; every name is one that any file system holds; and the path leads back.
func FuzzPathsOfKeys(f *testing.F) {
	for _, key := range []string{"a/b", "A/B", "a/b/c", "v/default/x/latest.json", "12/13", "con", "é/ß", strings.Repeat("é", 300) + "/1", "a~", "a%+/b", "!a", "A"} {
		for _, other := range []string{"a", "a/b/c", "ç", "A/b"} {
			f.Add(key, other)
		}
	}
	f.Fuzz(func(t *testing.T, key, other string) {
		if archive.ValidateKey(key) != nil || archive.ValidateKey(other) != nil {
			return
		}
		file := filePath(key)
		for _, name := range file {
			assert.LessOrEqual(t, len(name), 255)
			assert.NotContains(t, name, "/")
			assert.Equal(t, strings.ToLower(name), name, "no capital")
			assert.False(t, strings.HasPrefix(name, ".") || strings.HasSuffix(name, "."), "name %q", name)
			assert.NotEqual(t, "con", strings.SplitN(name, ".", 2)[0])
		}
		assert.Equal(t, key, keyOf(t, file))
		if key != other {
			a, b := path.Join(file...), path.Join(filePath(other)...)
			assert.NotEqual(t, a, b, "keys %q and %q", key, other)
			assert.False(t, strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/"),
				"the file of one of %q and %q would be the other's directory", key, other)
		}
	})
}

// keyOf puts a path together again as a listing does.
func keyOf(t *testing.T, file []string) string {
	var key strings.Builder
	segment := ""
	for i, name := range file {
		parsed, ok := parseName(name, i < len(file)-1)
		assert.True(t, ok, "name %q of path %q", name, file)
		segment += parsed.text
		if parsed.goesOn {
			continue
		}
		key.WriteString(segment)
		if i < len(file)-1 {
			key.WriteString("/")
		}
		segment = ""
	}
	return key.String()
}
