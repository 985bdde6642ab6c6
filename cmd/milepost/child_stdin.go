package main

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
	// Where an open file can be removed it is gone already; elsewhere the system's
	// cleaning of its temporary directory does it.
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
