package human_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/internal/human"
)

func TestNumbersAndTimesReadWell(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1203870: "1,203,870", -12345: "-12,345", -999: "-999"} {
		assert.Equal(t, want, human.Thousands(n))
	}
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 30: "1.0 GiB", 1 << 62: "4096.0 PiB"} {
		assert.Equal(t, want, human.Size(n))
	}
	for rate, want := range map[float64]string{0: "–", 8.44: "8.4/s", 1203.9: "1,203/s"} {
		assert.Equal(t, want, human.Rate(rate))
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 28 * time.Second: "28 s", 192 * time.Second: "3 min 12 s", 2 * time.Minute: "2 min",
		125 * time.Minute: "2 h 5 min", 72 * time.Hour: "3 days",
	} {
		assert.Equal(t, want, human.Span(d))
	}
	at := time.Date(2026, 11, 24, 3, 0, 1, 5, time.FixedZone("CET", 3600))
	assert.Equal(t, "2026-11-24T02:00:01Z", human.Clock(at))
	assert.Equal(t, "2 min ago", human.Ago(at, at.Add(2*time.Minute)))
	assert.Equal(t, "–", human.Clock(time.Time{}))
	assert.Equal(t, "–", human.Ago(time.Time{}, at))
}

func TestHiddenPartsOfATextAreWrittenOut(t *testing.T) {
	for text, want := range map[string]struct{ visible, line string }{
		"plain é 中 \uFFFD":     {"plain é 中 \uFFFD", "plain é 中 \uFFFD"},
		"two\nlines\tand":      {"two\nlines\tand", `"two\nlines\tand"`},
		"\x1b[2J\x00":          {`\u001b[2J\u0000`, `"\x1b[2J\x00"`},
		"\x9b":                 {`\x9b`, `"\x9b"`},
		"a\u202eb\u2066":       {`a\u202eb\u2066`, `"a\u202eb\u2066"`},
		"a\u200bb\ufeffc":      {`a\u200bb\ufeffc`, `"a\u200bb\ufeffc"`},
		"a\ufe0fb":             {`a\ufe0fb`, `"a\ufe0fb"`},
		"a\u2028b\ue000":       {`a\u2028b\ue000`, `"a\u2028b\ue000"`},
		"cut \xe4\xb8 short":   {`cut \xe4\xb8 short`, `"cut \xe4\xb8 short"`},
		"it says \"no\"\u061c": {`it says "no"\u061c`, `"it says \"no\"\u061c"`},
	} {
		assert.Equal(t, want.visible, human.Visible(text), "%q", text)
		assert.Equal(t, want.line, human.Line(text), "%q", text)
	}
	assert.Equal(t, "aé…", human.Shorten("aéiou", 3))
	assert.Equal(t, "aéi", human.Shorten("aéi", 3))
}
