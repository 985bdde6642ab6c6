//go:build !linux && !darwin && !windows

package boot

import "time"

func id() string { return "" }

// Uptime reports that the time since the boot is not known.
func Uptime() (time.Duration, bool) { return 0, false }
