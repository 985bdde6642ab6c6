package boot

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnotherTimeNamespaceHasAnotherClock(t *testing.T) {
	const zero, ahead = "monotonic           0         0\nboottime            0         0\n", "monotonic           0         0\nboottime         3600         0\n"
	for name, c := range map[string]struct {
		own, childrens, offsets string // "": cannot be read
		ownErr                  error
		want                    bool
	}{
		"the machine's":                           {own: "time:[1]", childrens: "time:[1]", offsets: zero, want: true},
		"a kernel without time namespaces":        {ownErr: fs.ErrNotExist, want: true},
		"a namespace that is an hour ahead":       {own: "time:[2]", childrens: "time:[2]", offsets: ahead},
		"a part of a second ahead":                {own: "time:[2]", childrens: "time:[2]", offsets: "boottime 0 5\n"},
		"a namespace for the children only":       {own: "time:[1]", childrens: "time:[2]", offsets: zero},
		"offsets that cannot be read":             {own: "time:[1]", childrens: "time:[1]"},
		"offsets without this clock":              {own: "time:[1]", childrens: "time:[1]", offsets: "monotonic 0 0\n"},
		"a namespace that cannot be read":         {ownErr: fs.ErrPermission, childrens: "time:[1]", offsets: zero},
		"the children's, which cannot be read":    {own: "time:[1]", offsets: zero},
		"another clock that is an hour ahead":     {own: "time:[1]", childrens: "time:[1]", offsets: "monotonic 3600 0\nboottime 0 0\n", want: true},
		"offsets of the monotonic clock and ours": {own: "time:[1]", childrens: "time:[1]", offsets: "monotonic 3600 0\nboottime 3600 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			readlink := func(path string) (string, error) {
				switch {
				case path == "/proc/self/ns/time":
					return c.own, c.ownErr
				case c.childrens == "":
					return "", fs.ErrPermission
				}
				return c.childrens, nil
			}
			read := func(string) ([]byte, error) {
				if c.offsets == "" {
					return nil, fs.ErrPermission
				}
				return []byte(c.offsets), nil
			}
			assert.Equal(t, c.want, onMachinesClock(readlink, read))
		})
	}
}
