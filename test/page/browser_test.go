package page

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWithoutABrowserTheErrorSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CHROMIUM", "")
	_, _, err := Browser(t.Context())
	assert.ErrorContains(t, err, "apt-get install chromium")
	t.Setenv("CHROMIUM", "no-such-browser")
	_, _, err = Browser(t.Context())
	assert.ErrorContains(t, err, "no-such-browser")
}
