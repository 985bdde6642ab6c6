//go:build !linux && !darwin

package sqlitestore

import "time"

func bootID() string { return "" }

func uptime() (time.Duration, bool) { return 0, false }
