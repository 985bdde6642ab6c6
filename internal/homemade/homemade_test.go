package homemade

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

// homeMadeOf reads objects as they would lie below a prefix in a bucket.
func homeMadeOf(t *testing.T, objects map[string]string, skip ...string) *History {
	t.Helper()
	a, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.Close()) })
	for key, content := range objects {
		_, err := a.Create(t.Context(), key, strings.NewReader(content))
		require.NoError(t, err)
	}
	h, err := Read(t.Context(), a, "s3://bucket/prefix", skip, func(int64, int64) {})
	require.NoError(t, err)
	return h
}

func cursorsOf(h *History) (cursors []string) {
	for _, o := range h.Versions {
		cursors = append(cursors, o.Checkpoint.Cursor)
	}
	return cursors
}

func TestAHomeMadeRecordIsReadInBothFormsAndKeptWhole(t *testing.T) {
	h := homeMadeOf(t, map[string]string{
		"checkpoint_1712484000.json": `{"last_processed_id": "record-123", "timestamp": "2024-04-07T10:00:00Z", ` +
			`"batch_statistics": {"processed_records": 1000, "failed_records": 5}, "custom_state": {"current_aggregation": 42.0}, "ours": 1e400}`,
		"checkpoint_1712484010.json": `{"last_processed_id": 9007199254740993, "timestamp": "2024-04-07T10:00:10.250000", "records_processed": 2000}`,
		"checkpoint_1712484020.json": " {\n  \"last_processed_id\": null, \"records_processed\": 0, \"error\": \"bad row\"}\n",
		"checkpoint_1712484030.json": `{"last_processed_id": 12.5, "error": null}`,
		"checkpoint_1712484040.json": `{"error": {"code": 3}, "timestamp": "yesterday"}`,
	})
	require.NoError(t, h.Doubt())
	require.Len(t, h.Versions, 5)
	first := h.Versions[0].Checkpoint
	assert.Equal(t, &checkpoint.Checkpoint{
		Version: store.Version{
			Number: 1, SavedAt: time.Unix(1712484000, 0).UTC(), Content: store.Content{Cursor: "record-123", Processed: 1000, Failed: 5},
		},
		State: first.State, ContentType: "application/json",
	}, first)
	assert.Contains(t, string(first.State), `"custom_state": {"current_aggregation": 42.0}, "ours": 1e400}`, "byte for byte")
	assert.Equal(t, []string{"record-123", "9007199254740993", "", "12.5", ""}, cursorsOf(h))
	assert.Equal(t, time.Unix(1712484010, 250e6).UTC(), h.Versions[1].Checkpoint.SavedAt, "the record's fraction, where it is of that second")
	assert.EqualValues(t, 2000, h.Versions[1].Checkpoint.Processed)
	assert.Equal(t, "bad row", h.Versions[2].Checkpoint.LastError)
	assert.Equal(t, `{"code": 3}`, h.Versions[4].Checkpoint.LastError)
	for i, o := range h.Versions {
		assert.EqualValues(t, i+1, o.Checkpoint.Number)
		assert.True(t, json.Valid(o.Checkpoint.State))
	}
}

func TestTheOrderIsThatOfTheTimesAsNumbersAndThenOfTheRecords(t *testing.T) {
	h := homeMadeOf(t, map[string]string{
		"checkpoint_999999999.json":    `{"last_processed_id": "a"}`,
		"checkpoint_1000000000.json":   `{"last_processed_id": "b"}`,
		"checkpoint_1000000000.5.json": `{"last_processed_id": "c"}`,
		// Two workers' folders, and a second that both have: the records tell.
		"x/checkpoint_1000000001.json": `{"last_processed_id": "e", "timestamp": "2001-09-09T01:46:41.700000"}`,
		"y/checkpoint_1000000001.json": `{"last_processed_id": "d", "timestamp": "2001-09-09T01:46:41.200000"}`,
	})
	assert.Equal(t, []string{"a", "b", "c", "d", "e"}, cursorsOf(h))
	assert.Empty(t, h.Ties)
	assert.Equal(t, []string{".", "y", "x"}, h.Folders)
	assert.NoError(t, h.Doubt())
}

func TestTiesAreReportedAndTheNewestIsNeverGuessed(t *testing.T) {
	objects := map[string]string{
		"x/checkpoint_1000000001.json":      `{"last_processed_id": "a"}`,
		"y/checkpoint_1000000001.json":      `{"last_processed_id": "b", "timestamp": "2001-09-09T01:46:41Z"}`,
		"x/checkpoint_1000000002.json":      `{"last_processed_id": "c", "timestamp": "2001-09-09T01:46:42Z"}`,
		"x/checkpoint_1000000002-copy.json": `{"last_processed_id": "c", "timestamp": "2001-09-09T01:46:42Z"}`,
		"x/checkpoint_1000000003.json":      `{"last_processed_id": "d"}`,
	}
	h := homeMadeOf(t, objects)
	assert.Equal(t, []string{"a", "b", "c", "d"}, cursorsOf(h))
	require.Len(t, h.Ties, 1)
	assert.Equal(t, []string{"x/checkpoint_1000000001.json", "y/checkpoint_1000000001.json"}, Keys(h.Ties[0]))
	assert.Equal(t, []string{"x/checkpoint_1000000002.json"}, Keys(h.Repeated))
	assert.NoError(t, h.Doubt(), "the newest is none of them")

	objects["y/checkpoint_1000000003.json"] = `{"last_processed_id": "e"}`
	err := homeMadeOf(t, objects).Doubt()
	assert.ErrorIs(t, err, checkpoint.ErrRefused)
	assert.ErrorContains(t, err, "which is the newest of x/checkpoint_1000000003.json and y/checkpoint_1000000003.json cannot be known")
	h = homeMadeOf(t, objects, "x/checkpoint_1000000003.json")
	assert.NoError(t, h.Doubt())
	assert.Equal(t, []string{"a", "b", "c", "e"}, cursorsOf(h))
}

func TestAnUnreadableObjectIsNamedAndNoOlderOneReplacesIt(t *testing.T) {
	bad := map[string]string{
		"":                                    "it is empty",
		"{":                                   "unexpected end of JSON input",
		`[]`:                                  "it is not a JSON object",
		`{"last_processed_id": NaN}`:          "invalid character",
		`{"last_processed_id": true}`:         "neither a text nor a number",
		`{"last_processed_id": {"a": 1}}`:     "neither a text nor a number",
		`{"records_processed": -1}`:           "how many were processed: -1 is not a count",
		`{"records_processed": 1.5}`:          "how many were processed: 1.5 is not a count",
		`{"records_processed": "x"}`:          "invalid number literal",
		`{"batch_statistics": 3}`:             "batch_statistics",
		"{\"last_processed_id\": \"a\xffb\"}": "it is not valid UTF-8",
	}
	objects := map[string]string{"checkpoint_2000000000.json": `{"last_processed_id": "good"}`, "notes.txt": "x", "checkpoint_latest.json": "{}"}
	i := 0
	for content := range bad {
		objects[fmt.Sprintf("checkpoint_%d.json", 1000000000+i)] = content
		i++
	}
	h := homeMadeOf(t, objects)
	assert.Equal(t, []string{"good"}, cursorsOf(h))
	assert.Equal(t, []string{"checkpoint_latest.json", "notes.txt"}, h.Foreign)
	require.Len(t, h.Unreadable, len(bad))
	for _, o := range h.Unreadable {
		assert.ErrorContains(t, o.Err, bad[objects[o.Key]], o.Key)
	}
	require.NoError(t, h.Doubt())

	objects["checkpoint_2000000001.json"] = "{"
	err := homeMadeOf(t, objects).Doubt()
	assert.ErrorIs(t, err, checkpoint.ErrRefused)
	assert.ErrorContains(t, err, "checkpoint_2000000001.json, the newest by its name, cannot be read")
	assert.NoError(t, homeMadeOf(t, objects, "checkpoint_2000000001.json").Doubt())

	assert.ErrorIs(t, homeMadeOf(t, map[string]string{"checkpoint_1.json": "{"}).Doubt(), checkpoint.ErrRefused)
	assert.ErrorIs(t, homeMadeOf(t, map[string]string{"x": "{"}).Doubt(), store.ErrNotFound)
}

func TestAnObjectToBeSkippedIsThere(t *testing.T) {
	a, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	defer a.Close()
	_, err = Read(t.Context(), a, "s3://b/p", []string{"checkpoint_1.json"}, func(int64, int64) {})
	assert.ErrorIs(t, err, kinds.ErrUsage)
}

func TestASourceThatFailsIsNotTakenForAnUnreadableObject(t *testing.T) {
	dir, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	for i := range 40 {
		_, err := dir.Create(t.Context(), fmt.Sprintf("checkpoint_%d.json", 1000000000+i), strings.NewReader(`{}`))
		require.NoError(t, err)
	}
	read := 0
	_, err = Read(t.Context(), dir, "s3://b/p", nil, func(int64, int64) {
		if read++; read == 5 {
			_ = dir.Close()
		}
	})
	require.Error(t, err)
	assert.NotErrorIs(t, err, store.ErrNotFound)
}
