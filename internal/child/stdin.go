package child

import (
	"io"
	"os"
)

// tempFileOf returns a temporary file that holds data.
func tempFileOf(data []byte) (*os.File, error) {
	file, err := os.CreateTemp("", "milepost-batch-*")
	if err != nil {
		return nil, err
	}
	// Where an open file can be removed, its name is gone now. Elsewhere the file stays until the
	// system cleans its temporary directory.
	_ = os.Remove(file.Name())
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
