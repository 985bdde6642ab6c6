// Package human writes numbers, times and texts for people to read, in the command and on the
// status page.
package human

import (
	"fmt"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
)

// Thousands writes 1203870 as 1,203,870.
func Thousands(n int64) string {
	text := fmt.Sprint(n)
	digits := strings.TrimPrefix(text, "-")
	sign := text[:len(text)-len(digits)]
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Size writes a number of bytes in binary units: 1.5 GiB.
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	size, exponent := float64(n)/unit, 0
	for size >= unit && exponent < 4 {
		size /= unit
		exponent++
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[exponent])
}

// Rate writes a number of records per second: 8.4/s, 1,203/s; "–" if it is not known.
func Rate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "–"
	case perSecond < 10:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return Thousands(int64(perSecond)) + "/s"
}

// Span writes a duration in its largest units: 28 s, 3 min 12 s, 2 h 5 min, 3 days.
func Span(d time.Duration) string {
	two := func(n time.Duration, unit string, rest time.Duration, restUnit string) string {
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		return fmt.Sprintf("%d %s %d %s", n, unit, rest, restUnit)
	}
	switch d = max(d, 0).Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	case d < 48*time.Hour:
		return two(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// Ago writes how long t was before now; "–" for the zero time.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return Span(now.Sub(t)) + " ago"
}

// Clock writes t in UTC to the second, as logs and JSON do; "–" for the zero time.
func Clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format(time.RFC3339)
}

// Note returns what is special about a version, except its last error.
func Note(cp *checkpoint.Checkpoint) string {
	var notes []string
	if cp.Ended != "" {
		notes = append(notes, string(cp.Ended))
	}
	if cp.Archived {
		notes = append(notes, "in the archive")
	}
	if cp.Label != "" {
		notes = append(notes, "pinned: "+cp.Label)
	}
	if cp.RestoredFrom != 0 {
		notes = append(notes, "content of version "+Thousands(cp.RestoredFrom))
	}
	if cp.Reason != "" {
		notes = append(notes, cp.Reason)
	}
	return strings.Join(notes, "; ")
}
