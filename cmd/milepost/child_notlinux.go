//go:build !linux

package main

import "os"

func fileOf(data []byte) (*os.File, error) { return tempFileOf(data) }
