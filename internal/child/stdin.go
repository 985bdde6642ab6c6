package child

import (
	"io"
	"os"

	"github.com/milepost-dev/milepost/internal/tempfile"
)

// tempFileOf returns a temporary file that holds data and leaves nothing behind.
func tempFileOf(data []byte) (*os.File, error) {
	file, err := tempfile.New("milepost-batch-*")
	if err != nil {
		return nil, err
	}
	return filled(file, data)
}

func filled(file *os.File, data []byte) (*os.File, error) {
	_, err := file.Write(data)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
