package checkpoint_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store/memstore"
)

// roundTrip saves state and returns it as the next session loads it, and as readers see it.
func roundTrip[T any](t *testing.T, state T, opts *checkpoint.Options) (T, *checkpoint.Checkpoint) {
	t.Helper()
	st := memstore.New(nil)
	s, err := checkpoint.Open[T](t.Context(), in(st), name, opts)
	require.NoError(t, err)
	require.NoError(t, s.Save(t.Context(), "a", state))
	require.NoError(t, s.Close(t.Context(), nil))
	s, err = checkpoint.Open[T](t.Context(), in(st), name, opts)
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context(), nil))
	cp, err := in(st).Get(t.Context(), name, nil)
	require.NoError(t, err)
	decoded, err := checkpoint.Decode[T](cp)
	require.NoError(t, err)
	assert.Equal(t, s.State(), decoded)
	return s.State(), cp
}

func TestNumbersSurviveExactly(t *testing.T) {
	type numbers struct {
		Most  int64
		Tenth float64
		Huge  json.Number
		Any   any
		Zero  *int
	}
	zero := 0
	got, _ := roundTrip(t, numbers{Most: math.MaxInt64, Tenth: 0.1, Huge: "1e400", Any: json.Number("9007199254740993"), Zero: &zero}, nil)
	assert.Equal(t, int64(math.MaxInt64), got.Most)
	assert.Equal(t, 0.1, got.Tenth)
	assert.Equal(t, json.Number("1e400"), got.Huge)
	assert.Equal(t, json.Number("9007199254740993"), got.Any)
	assert.Equal(t, 0, *got.Zero)
}

func TestZeroAndNullAreValues(t *testing.T) {
	zero, cp := roundTrip(t, 0, nil)
	assert.Zero(t, zero)
	assert.Equal(t, "0", string(cp.State))
	null, cp := roundTrip(t, (*sum)(nil), nil)
	assert.Nil(t, null)
	assert.Equal(t, "null", string(cp.State))
	_, cp = roundTrip(t, struct{}{}, nil)
	assert.Nil(t, cp.State, "a job without state saves none")
}

func TestARawMessageIsKeptByteForByte(t *testing.T) {
	raw := json.RawMessage("{ \"a\" : 1.00,\n\t\"html\": \"<&>\", \"n\": 1e400 }")
	got, cp := roundTrip(t, raw, nil)
	assert.Equal(t, string(raw), string(got))
	assert.Equal(t, string(raw), string(cp.State))
	big := json.RawMessage(`"` + strings.Repeat("x y ", 10_000) + `"`)
	got, cp = roundTrip(t, big, nil)
	assert.Equal(t, string(big), string(got))
	assert.Less(t, cp.StoredSize, int64(len(big))/100, "and compressed, where that helps")
}

func TestBytesAreKeptAsTheyAre(t *testing.T) {
	for _, state := range [][]byte{{0, 0xff, '{'}, []byte(strings.Repeat("\x00", 5000)), {}} {
		got, cp := roundTrip(t, state, nil)
		assert.Equal(t, state, got)
		assert.Equal(t, "application/octet-stream", cp.ContentType)
	}
}

func TestAStateThatCannotBeEncodedFailsTheSaveAndNothingElse(t *testing.T) {
	st := memstore.New(nil)
	s, err := checkpoint.Open[any](t.Context(), in(st), name, nil)
	require.NoError(t, err)
	require.NoError(t, s.Save(t.Context(), "a", 1))
	require.Error(t, s.Save(t.Context(), "b", func() {}))
	s.Mark("c", func(v *any) { *v = make(chan int) })
	require.Error(t, s.Flush(t.Context()))
	require.Error(t, s.Close(t.Context(), nil))
	cp, err := in(st).Get(t.Context(), name, nil)
	require.NoError(t, err)
	assert.Equal(t, "a", cp.Cursor)
	assert.Equal(t, "1", string(cp.State))
	assert.Contains(t, cp.LastError, "cannot be saved")
}

func TestACheckpointsJSONReadsBack(t *testing.T) {
	for what, state := range map[string]any{
		"JSON": json.RawMessage(`{"n":9223372036854775807,"x":1e400,"f":0.10}`), "null": json.RawMessage("null"), "bytes": []byte{0, 1, 2},
	} {
		t.Run(what, func(t *testing.T) {
			var cp *checkpoint.Checkpoint
			if raw, ok := state.(json.RawMessage); ok {
				_, cp = roundTrip(t, raw, &checkpoint.Options{Identity: "one", Schema: 3})
			} else {
				_, cp = roundTrip(t, state.([]byte), nil)
			}
			text, err := json.Marshal(cp)
			require.NoError(t, err)
			var back checkpoint.Checkpoint
			require.NoError(t, json.Unmarshal(text, &back))
			assert.Equal(t, *cp, back)
		})
	}
}

func TestACheckpointsJSONHasItsNames(t *testing.T) {
	_, cp := roundTrip(t, sum{7}, nil)
	text, err := json.Marshal(cp)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields))
	for _, name := range []string{
		"namespace", "name", "version", "epoch", "commit_epoch", "commit_id", "saved_at", "cursor", "processed", "failed", "last_error", "state",
	} {
		assert.Contains(t, fields, name)
	}
	assert.Equal(t, map[string]any{"Sum": 7.0}, fields["state"])
	var back checkpoint.Checkpoint
	require.ErrorContains(t, json.Unmarshal([]byte(`{"vresion":1}`), &back), "vresion")
}
