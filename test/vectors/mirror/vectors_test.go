// Package mirror_test compares the archive's objects with the vectors in this directory, which are
// made for other languages, and validates both against the JSON Schema.
package mirror_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

// vector is one line of vectors.json; the README says what its fields are.
type vector struct {
	File   string `json:"file"`
	Key    string `json:"key"`
	About  string `json:"about"`
	Bad    string `json:"bad,omitempty"`
	Schema bool   `json:"schema"`
	State  string `json:"state,omitempty"`
	Body   string `json:"body,omitempty"`
}

func TestMain(m *testing.M) {
	if os.Getenv("UPDATE_VECTORS") != "" {
		if err := write(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func vectors(t *testing.T) []vector {
	t.Helper()
	var all []vector
	require.NoError(t, json.Unmarshal(read(t, "vectors.json"), &all))
	require.NotEmpty(t, all)
	return all
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return data
}

func TestEveryVectorIsReadAsDescribed(t *testing.T) {
	for _, v := range vectors(t) {
		data := read(t, "objects", v.File)
		m, err := archive.Decode(v.Key, data)
		switch v.Bad {
		case "bad_record":
			assert.ErrorIs(t, err, store.ErrBadRecord, v.File)
			continue
		case "newer_format":
			assert.ErrorIs(t, err, store.ErrNewerFormat, v.File)
			continue
		}
		require.NoError(t, err, v.File)
		assert.Equal(t, v.Key, archive.VersionKey(m.Key, m.ID()), v.File)
		again, err := archive.Encode(m)
		require.NoError(t, err, v.File)
		assert.Equal(t, string(data), string(again), v.File)
		if v.State == "" {
			assert.Nil(t, m.State, v.File)
			continue
		}
		assert.Equal(t, string(read(t, "states", v.State)), string(stateOf(t, v, m)), v.File)
	}
}

// stateOf reads the state as another program would: through the archive where it lies in a body.
func stateOf(t *testing.T, v vector, m *archive.Mirrored) []byte {
	t.Helper()
	if v.Body != "" {
		a, err := dirarchive.Open(t.TempDir())
		require.NoError(t, err)
		defer a.Close()
		_, err = a.Create(t.Context(), m.State.Body, bytes.NewReader(read(t, "bodies", v.Body)))
		require.NoError(t, err)
		return bodyOf(t.Context(), t, a, m)
	}
	if m.State.Encoding == "" {
		return m.State.Data
	}
	decoder, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer decoder.Close()
	data, err := decoder.DecodeAll(m.State.Data, nil)
	require.NoError(t, err)
	return data
}

func bodyOf(ctx context.Context, t *testing.T, a archive.Archive, m *archive.Mirrored) []byte {
	t.Helper()
	r, err := archive.OpenBody(ctx, a, m.Key, &m.Version)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return data
}

func TestTheSchemaAcceptsGoodVectorsAndRefusesTheBadOnesItCan(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../../docs/schema/mirror.schema.json")
	require.NoError(t, err)
	for _, v := range vectors(t) {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, "objects", v.File)))
		if err == nil {
			err = schema.Validate(value)
		}
		if v.Schema {
			assert.NoError(t, err, v.File)
		} else {
			assert.Error(t, err, v.File)
		}
		assert.True(t, v.Schema || v.Bad != "", "%s: what can be read fits the schema", v.File)
	}
}

// The package's own testdata is of the same form.
func TestTheSchemaAcceptsThePackagesTestData(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../../docs/schema/mirror.schema.json")
	require.NoError(t, err)
	files, err := filepath.Glob("../../../store/archive/testdata/mirror/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, file)))
		require.NoError(t, err, file)
		assert.NoError(t, schema.Validate(value), file)
	}
}

// mirrorOf is one mirror of counting.json.
type mirrorOf struct {
	About    string `json:"about"`
	Objects  []id   `json:"objects"`
	Counting []id   `json:"counting"`
	Newest   *id    `json:"newest"`
}

type id struct {
	Version  int64  `json:"version"`
	Epoch    int64  `json:"commit_epoch"`
	CommitID string `json:"commit_id"`
}

func TestTheVectorsSayWhichObjectsCount(t *testing.T) {
	var mirrors []mirrorOf
	require.NoError(t, json.Unmarshal(read(t, "counting.json"), &mirrors))
	require.NotEmpty(t, mirrors)
	for _, m := range mirrors {
		var ids []archive.ID
		for _, o := range m.Objects {
			ids = append(ids, archive.ID(o))
		}
		counting := []id{}
		for _, c := range archive.Counting(ids) {
			counting = append(counting, id(c))
		}
		assert.Equal(t, m.Counting, counting, m.About)
		newest, ok := archive.Newest(ids)
		assert.Equal(t, m.Newest != nil, ok, m.About)
		if m.Newest != nil {
			assert.Equal(t, *m.Newest, id(newest), m.About)
		}
	}
}
