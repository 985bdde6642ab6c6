//go:build !linux

package child

import "os"

func fileOf(data []byte) (*os.File, error) { return tempFileOf(data) }
