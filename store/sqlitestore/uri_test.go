package sqlitestore

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAPathOfAnySystemIsAPathOfAURI(t *testing.T) {
	for path, want := range map[string]string{
		"/state/jobs.db":       "/state/jobs.db",
		"C:/state/jobs.db":     "/C:/state/jobs.db",
		"//?/C:/state/jobs.db": "/C:/state/jobs.db",
		"/what?/jobs.db":       "/what?/jobs.db",
	} {
		assert.Equal(t, want, uriPath(path))
	}
}
