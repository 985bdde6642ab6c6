package homemade

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
)

// parse reads a record. All of it is the version's state.
func parse(data []byte) (*checkpoint.Checkpoint, time.Time, error) {
	var fields struct {
		ID         json.RawMessage `json:"last_processed_id"`
		Timestamp  json.RawMessage `json:"timestamp"`
		Statistics *struct {
			Processed *json.Number `json:"processed_records"`
			Failed    *json.Number `json:"failed_records"`
		} `json:"batch_statistics"`
		Processed *json.Number    `json:"records_processed"`
		Failed    *json.Number    `json:"records_failed"`
		Error     json.RawMessage `json:"error"`
	}
	switch {
	case len(data) == 0:
		return nil, time.Time{}, errors.New("it is empty")
	case !utf8.Valid(data):
		return nil, time.Time{}, errors.New("it is not valid UTF-8")
	case data[0] != '{':
		return nil, time.Time{}, errors.New("it is not a JSON object")
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, time.Time{}, err
	}
	cp := &checkpoint.Checkpoint{State: data, ContentType: "application/json"}
	cp.LastError = store.CutText(textOf(fields.Error), store.MaxLastError)
	var err error
	if cp.Cursor, err = cursorOf(fields.ID); err != nil {
		return nil, time.Time{}, err
	}
	processed, failed := fields.Processed, fields.Failed
	if s := fields.Statistics; s != nil {
		if processed == nil {
			processed = s.Processed
		}
		if failed == nil {
			failed = s.Failed
		}
	}
	if cp.Processed, err = countOf(processed); err != nil {
		return nil, time.Time{}, fmt.Errorf("how many were processed: %w", err)
	}
	if cp.Failed, err = countOf(failed); err != nil {
		return nil, time.Time{}, fmt.Errorf("how many failed: %w", err)
	}
	return cp, timeOf(fields.Timestamp), nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// textOf is a string's content, and any other value as it is written.
func textOf(raw json.RawMessage) string {
	var text string
	if isNull(raw) || json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func cursorOf(raw json.RawMessage) (string, error) {
	if !isNull(raw) && raw[0] != '"' && raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return "", fmt.Errorf("last_processed_id is neither a text nor a number: %.40s", raw)
	}
	return textOf(raw), nil
}

func countOf(n *json.Number) (int64, error) {
	if n == nil {
		return 0, nil
	}
	count, err := n.Int64()
	if err != nil || count < 0 {
		return 0, fmt.Errorf("%s is not a count", n)
	}
	return count, nil
}

// timeOf reads what Python's isoformat writes (in UTC if it names no zone), RFC 3339, or unix
// seconds. For anything else it returns the zero time.
func timeOf(raw json.RawMessage) time.Time {
	text := textOf(raw)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e12 {
		whole, fraction := math.Modf(seconds)
		return time.Unix(int64(whole), int64(fraction*1e6)*1000).UTC()
	}
	return time.Time{}
}
