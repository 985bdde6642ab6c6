//go:build unix

package tempfile

import (
	"errors"
	"os"
)

// New returns a new file without a name, for reading and writing. Its space is free again once all
// processes that have it open have closed it or have ended. In pattern, * stands for a random text.
func New(pattern string) (*os.File, error) {
	file, err := os.CreateTemp("", pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
