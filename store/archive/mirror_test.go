package archive_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func stateOf(data []byte, encoding string, size int64) *store.State {
	sum := sha256.Sum256(data)
	return &store.State{Data: data, Encoding: encoding, Size: size, SHA256: sum[:]}
}

// full has something in every field.
func full() *archive.Mirrored {
	state := []byte(`{"sum": 9223372036854775807, "rate": 0.10, "big": 1e400,  "text": "<é> & \u2028"}`)
	return &archive.Mirrored{Key: orders, Version: store.Version{
		Number: 1204, CommitID: "7f3k2m", CommitEpoch: 1_000_003,
		By:      store.Holder{ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-11-24T02:00:01Z"},
		SavedAt: time.Date(2026, 11, 24, 2, 0, 1, 123456789, time.UTC),
		Content: store.Content{
			Cursor:    "ord-88123 <&> é",
			Finished:  []store.Range{{First: "ord-88130", Last: "ord-88140"}, {First: "ord-88150", Last: "ord-88150"}},
			Processed: math.MaxInt64, Failed: 12,
			State:    stateOf(state, "", int64(len(state))),
			Identity: "s3://in/orders.csv", Schema: 3,
		},
		LastError: "row 3: \"bad\"\nline 2",

		Ended: store.EndedError, Deleted: true, RestoredFrom: 1200, Reason: "by hand",
		Born: 7, Starts: []int64{7, 900, 1200},
	}}
}

func variants() map[string]*archive.Mirrored {
	compressed, text, empty, body, none := full(), full(), full(), full(), full()
	compressed.State = stateOf([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 255}, "zstd", 5000)
	text.State = stateOf([]byte("no JSON\x00\xff"), "", 9)
	text.State.ContentType = "application/x-thing"
	empty.State = stateOf([]byte{}, "", 0)
	body.State = &store.State{Encoding: "zstd", Size: 1 << 30, SHA256: bytes.Repeat([]byte{7}, 32)}
	body.State.Body = archive.BodyKey(orders, archive.BodyID{Home: "0a1b2c3d", Version: 1204, CommitID: "7f3k2m"})
	none.State = nil
	least := &archive.Mirrored{Key: store.Key{Namespace: "default", Name: "a"}, Version: store.Version{
		Number: 1, CommitID: "c", CommitEpoch: 1, Born: 1, SavedAt: time.Unix(0, 0).UTC(),
	}}
	return map[string]*archive.Mirrored{
		"full": full(), "compressed": compressed, "text": text, "empty": empty, "body": body, "none": none, "least": least,
	}
}

func TestWhatIsDecodedIsWhatWasEncoded(t *testing.T) {
	for name, m := range variants() {
		data, err := archive.Encode(m)
		require.NoError(t, err, name)
		assert.True(t, json.Valid(data), "%s: %s", name, data)
		decoded, err := archive.Decode("v/x", data)
		require.NoError(t, err, "%s: %s", name, data)
		assert.Equal(t, m, decoded, name)
		again, err := archive.Encode(decoded)
		require.NoError(t, err)
		assert.Equal(t, string(data), string(again), name)
	}
}

// The files are what other languages test theirs against: a change of the form
// is a new format number, and new files beside these.
func TestTheFormOfAnObjectStays(t *testing.T) {
	for name, m := range variants() {
		data, err := archive.Encode(m)
		require.NoError(t, err)
		path := filepath.Join("testdata", "mirror", name+".json")
		if os.Getenv("UPDATE_TESTDATA") != "" {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, data, 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(data), name)
	}
}

// A state is in the object as JSON, byte for byte, wherever it can be.
func TestAStateThatIsJSONIsReadableInTheObject(t *testing.T) {
	for _, test := range []struct {
		state string
		want  bool
	}{
		{`{"a":1}`, true}, {`{ "a" : 1.0, "a": 1e400 }`, true}, {"[\n  1\n]", true}, {`null`, true}, {`0`, true}, {`"x"`, true}, {`""`, true},
		{``, false}, {"{}\n", false}, {` {}`, false}, {`{`, false}, {`{} {}`, false}, {"\"\xff\"", false}, {`NaN`, false},
		{strings.Repeat("[", 900) + strings.Repeat("]", 900), true},
		{strings.Repeat("[", 9999) + strings.Repeat("]", 9999), false},
	} {
		m := full()
		m.State = stateOf([]byte(test.state), "", int64(len(test.state)))
		data, err := archive.Encode(m)
		require.NoError(t, err)
		assert.Equal(t, test.want, bytes.Contains(data, []byte("\n  \"state\": "+test.state+",\n")), "state %.40q", test.state)
		decoded, err := archive.Decode("v/x", data)
		require.NoError(t, err, "state %.40q", test.state)
		assert.Equal(t, test.state, string(decoded.State.Data))
	}
}

func TestAnyFlippedBitOfAnObjectIsFound(t *testing.T) {
	for name, m := range variants() {
		data, err := archive.Encode(m)
		require.NoError(t, err)
		for i := range data {
			for bit := range 8 {
				data[i] ^= 1 << bit
				_, err := archive.Decode("v/x", data)
				if !assert.Error(t, err, "%s: bit %d of byte %d flipped: %s", name, bit, i, data) {
					return
				}
				data[i] ^= 1 << bit
			}
		}
		for n := range data {
			_, err := archive.Decode("v/x", data[:n])
			require.ErrorIs(t, err, store.ErrBadRecord, "%s: cut after %d bytes", name, n)
		}
	}
}

// reseal makes a changed object's sha256 that of its content again.
func reseal(data []byte) []byte {
	head := data[:bytes.LastIndex(data, []byte(`  "object_sha256"`))]
	sum := sha256.Sum256(head)
	return append(bytes.Clone(head), []byte("  \"object_sha256\": \""+hexOf(sum[:])+"\"\n}\n")...)
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestAnObjectThatIsWrongInItselfIsABadRecord(t *testing.T) {
	data, err := archive.Encode(full())
	require.NoError(t, err)
	for _, change := range []struct{ old, new string }{
		{`"fmt": 1`, `"fmt": 0`}, {`"fmt": 1`, `"fmt": "1"`}, {`"fmt": 1`, `"fmt": 1, "more": 2`}, {`"fmt": 1,`, ``},
		{`"version": 1204`, `"version": 0`}, {`"version": 1204`, `"version": 1.5`}, {`"version": 1204`, `"version": 99999999999999999999`},
		{`"version": 1204`, `"Version": 1204`}, {`"version": 1204`, `"version": null`},
		{`"commit_id": "7f3k2m"`, `"commit_id": ""`}, {`"commit_id": "7f3k2m"`, `"commit_id": "a/b"`}, {`"commit_epoch": 1000003`, `"commit_epoch": -1`},
		{`"host": "etl-7"`, `"hosts": "etl-7"`}, {`"first": "ord-88130"`, `"begin": "ord-88130"`},
		{`"name": "orders/eu/shard-03"`, `"name": "../x"`}, {`"saved_at": "2026`, `"saved_at": "x2026`},
		{`"failed": 12`, `"failed": -12`}, {`"failed": 12`, `"failed": true`}, {`"born": 7`, `"born": 2000`},
		{`"state_sha256": "`, `"state_sha256": "00`}, {`"state_sha256": "`, `"state_sha": "`}, {`"state": {"sum": 9`, `"state": {"sum": 8`},
		{`"state_size"`, "\"state_base64\": \"\",\n  \"state_size\""}, {`"state_size"`, "\"state_body\": \"x\",\n  \"state_size\""},
	} {
		require.Contains(t, string(data), change.old)
		changed := reseal(bytes.Replace(data, []byte(change.old), []byte(change.new), 1))
		_, err := archive.Decode("v/default/orders/x.json", changed)
		if assert.ErrorIs(t, err, store.ErrBadRecord, "%s → %s", change.old, change.new) {
			assert.ErrorContains(t, err, "v/default/orders/x.json")
			assert.NotErrorIs(t, err, store.ErrNewerFormat)
		}
	}
}

func TestAnObjectOfANewerReleaseIsCalledThat(t *testing.T) {
	_, err := archive.Decode("v/x", []byte(`{"fmt": 2, "sealed": "in some other way"}`))
	assert.ErrorIs(t, err, store.ErrNewerFormat)
	assert.NotErrorIs(t, err, store.ErrBadRecord)
	assert.ErrorContains(t, err, "v/x")
}

func TestWhatAMirrorCannotHoldIsRefused(t *testing.T) {
	for name, change := range map[string]func(*archive.Mirrored){
		"a cursor that is no UTF-8":       func(m *archive.Mirrored) { m.Cursor = "\xff" },
		"a range that is no UTF-8":        func(m *archive.Mirrored) { m.Finished[0].Last = "\xff" },
		"an error that is no UTF-8":       func(m *archive.Mirrored) { m.LastError = "\xff" },
		"a name that is none":             func(m *archive.Mirrored) { m.Key.Name = "" },
		"a version that is none":          func(m *archive.Mirrored) { m.Number = 0 },
		"a commit id that fits no key":    func(m *archive.Mirrored) { m.CommitID = "a/b" },
		"a state here and in a body":      func(m *archive.Mirrored) { m.State.Body = "body/x" },
		"a state that its hash is not of": func(m *archive.Mirrored) { m.State.Data = []byte("{}") },
	} {
		m := full()
		change(m)
		_, err := archive.Encode(m)
		assert.ErrorContains(t, err, "mirror version", name)
	}
}

// No input makes Decode panic, and what it takes is encoded to the same again.
func FuzzDecode(f *testing.F) {
	for _, m := range variants() {
		data, err := archive.Encode(m)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(`{"fmt": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, resealIfAny(data)} {
			m, err := archive.Decode("v/x", data)
			if err != nil {
				continue
			}
			again, err := archive.Encode(m)
			require.NoError(t, err)
			decoded, err := archive.Decode("v/x", again)
			require.NoError(t, err)
			assert.Equal(t, m, decoded)
		}
	})
}

func resealIfAny(data []byte) []byte {
	if !bytes.Contains(data, []byte(`  "object_sha256"`)) {
		return data
	}
	return reseal(data)
}
