package mirror_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
)

// write makes the files of vectors.json again. counting.json is written by hand.
func write() error {
	var all []vector
	put := func(v vector, object []byte, err error) error {
		all = append(all, v)
		return errors.Join(err, os.WriteFile(filepath.Join("objects", v.File), object, 0o644))
	}
	for _, dir := range []string{"objects", "states", "bodies"} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
			return err
		}
	}
	for _, g := range good() {
		data, err := archive.Encode(g.m)
		g.v.Key, g.v.Schema = archive.VersionKey(g.m.Key, g.m.ID()), true
		if err := put(g.v, data, err); err != nil {
			return err
		}
		if g.v.State != "" {
			err = os.WriteFile(filepath.Join("states", g.v.State), g.state, 0o644)
		}
		if g.v.Body != "" {
			err = errors.Join(err, os.WriteFile(filepath.Join("bodies", g.v.Body), g.body, 0o644))
		}
		if err != nil {
			return err
		}
	}
	object, err := archive.Encode(full())
	if err != nil {
		return err
	}
	for _, b := range bad() {
		data := b.change(bytes.Clone(object))
		b.v.Key = archive.VersionKey(full().Key, full().ID())
		if err := put(b.v, data, nil); err != nil {
			return err
		}
	}
	var list bytes.Buffer
	encoder := json.NewEncoder(&list)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return errors.Join(encoder.Encode(all), os.WriteFile("vectors.json", list.Bytes(), 0o644))
}

type goodVector struct {
	v     vector
	m     *archive.Mirrored
	state []byte
	body  []byte
}

// exactState has numbers and blanks that a reader which parses it would lose.
const exactState = `{"sum": 9223372036854775807, "rate": 0.10, "big": 1e400,  "text": "<é> & \u2028", "none": null}`

func full() *archive.Mirrored {
	return &archive.Mirrored{Key: store.Key{Namespace: "default", Name: "orders/eu/shard-03"}, Version: store.Version{
		Number: 1204, CommitID: "7f3k2m", CommitEpoch: 1_000_003,
		By:      store.Holder{ID: "nightly", Host: "etl-7", PID: 4121, RunID: "2026-11-24T02:00:01Z"},
		SavedAt: time.Date(2026, 11, 24, 2, 0, 1, 123456789, time.UTC),
		Content: store.Content{
			Cursor:    "ord-88123 <&> é",
			Finished:  []store.Range{{First: "ord-88130", Last: "ord-88140"}, {First: "ord-88150", Last: "ord-88150"}},
			Processed: math.MaxInt64, Failed: 12,
			State:    plain(exactState),
			Identity: "s3://in/orders.csv", Schema: 3,
		},
		LastError: "row 3: \"bad\"\nline 2",
		Ended:     store.EndedError, RestoredFrom: 1200, Reason: "by hand",
		Born: 7, Starts: []int64{7, 900, 1200},
	}}
}

func least() *archive.Mirrored {
	return &archive.Mirrored{Key: store.Key{Namespace: "default", Name: "a"}, Version: store.Version{
		Number: 1, CommitID: "c", CommitEpoch: 1, Born: 1, SavedAt: time.Unix(0, 0).UTC(),
	}}
}

func plain(data string) *store.State {
	sum := sha256.Sum256([]byte(data))
	return &store.State{Data: []byte(data), Size: int64(len(data)), SHA256: sum[:]}
}

func with(change func(*archive.Mirrored)) *archive.Mirrored {
	m := full()
	change(m)
	return m
}

func good() []goodVector {
	long := []byte(`{"rows":[` + strings.Repeat(`"the same again",`, 400) + `"the last"]}`)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	packed := encoder.EncodeAll(long, nil)
	sum := sha256.Sum256(packed)
	compressed := &store.State{Data: packed, Encoding: "zstd", Size: int64(len(long)), SHA256: sum[:]}
	body, state := inBody(long)
	raw := "no JSON\x00\xff"
	rawState := plain(raw)
	rawState.ContentType = "application/octet-stream"
	return []goodVector{
		{v: vector{File: "full.json", About: "every field; a state whose bytes a parser would not keep", State: "full"}, m: full(), state: []byte(exactState)},
		{v: vector{File: "least.json", About: "nothing but what every object has"}, m: least()},
		{v: vector{File: "none.json", About: "no state"}, m: with(func(m *archive.Mirrored) { m.State = nil })},
		{v: vector{File: "null.json", About: "a state that is null is a state", State: "null"},
			m: with(func(m *archive.Mirrored) { m.State = plain("null") }), state: []byte("null")},
		{v: vector{File: "empty.json", About: "a state of no bytes", State: "empty"},
			m: with(func(m *archive.Mirrored) { m.State = plain("") }), state: []byte{}},
		{v: vector{File: "bytes.json", About: "a state that is no JSON", State: "bytes"},
			m: with(func(m *archive.Mirrored) { m.State = rawState }), state: []byte(raw)},
		{v: vector{File: "compressed.json", About: "a state that is compressed", State: "long"},
			m: with(func(m *archive.Mirrored) { m.State = compressed }), state: long},
		{v: vector{File: "body.json", About: "a state in a body", State: "long", Body: "long.zst"},
			m: with(func(m *archive.Mirrored) { m.State = state }), state: long, body: body},
		{v: vector{File: "deleted.json", About: "the version that says that the checkpoint is deleted"},
			m: with(func(m *archive.Mirrored) {
				m.State, m.Deleted, m.Cursor, m.Finished, m.RestoredFrom = nil, true, "", nil, 0
			})},
		{v: vector{File: "name.json", About: "a name with a blank, a plus and another script, which no key escapes"},
			m: with(func(m *archive.Mirrored) {
				m.Key = store.Key{Namespace: "команда", Name: "a b/c+d/日本"}
				m.State = nil
			})},
	}
}

// inBody writes a state into a body, as a session does, and returns the object's content.
func inBody(data []byte) ([]byte, *store.State) {
	dir, err := os.MkdirTemp("", "vectors-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	a, err := dirarchive.Open(dir)
	if err != nil {
		panic(err)
	}
	defer a.Close()
	m := full()
	w, err := archive.CreateBody(ctx, a, m.Key, archive.BodyID{Home: "0a1b2c3d", Version: m.Number, CommitID: m.CommitID})
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	state, err := w.Finish()
	if err != nil {
		panic(err)
	}
	stored, _, err := archive.ReadAll(ctx, a, state.Body, 1<<20)
	if err != nil {
		panic(err)
	}
	return stored, &state
}

type badVector struct {
	v      vector
	change func([]byte) []byte
}

func bad() []badVector {
	damaged := func(file, about string, schema bool, change func([]byte) []byte) badVector {
		return badVector{v: vector{File: file, About: about, Bad: "bad_record", Schema: schema}, change: change}
	}
	edited := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte {
			if !bytes.Contains(data, []byte(old)) {
				panic(fmt.Sprintf("%q is not in %s", old, data))
			}
			return reseal(bytes.Replace(data, []byte(old), []byte(new), 1))
		}
	}
	return []badVector{
		damaged("bad-flipped.json", "one bit flipped: object_sha256 does not match", true, func(d []byte) []byte {
			return bytes.Replace(d, []byte(`"failed": 12`), []byte(`"failed": 13`), 1)
		}),
		damaged("bad-cut.json", "cut short", false, func(d []byte) []byte { return d[:len(d)/2] }),
		damaged("bad-blank.json", "the same value in other bytes: the seal is of bytes", true, func(d []byte) []byte { return append(d, '\n') }),
		damaged("bad-state-hash.json", "sealed, but state_sha256 is not that of the state", true, edited(`"state": {"sum": 9`, `"state": {"sum": 8`)),
		damaged("bad-unknown-field.json", "sealed, with a field that format 1 does not have", false, edited(`"fmt": 1,`, `"fmt": 1, "more": true,`)),
		damaged("bad-case.json", "sealed, with a field's name in another case", false, edited(`"version": 1204`, `"Version": 1204`)),
		damaged("bad-type.json", "sealed, with a number that is text", false, edited(`"failed": 12`, `"failed": "12"`)),
		damaged("bad-negative.json", "sealed, with a count below 0", false, edited(`"failed": 12`, `"failed": -12`)),
		damaged("bad-born.json", "sealed, and born after its version", true, edited(`"born": 7`, `"born": 2000`)),
		damaged("bad-two-states.json", "sealed, with a state in two places", false, edited(`"state_size"`, "\"state_base64\": \"\",\n  \"state_size\"")),
		{v: vector{File: "newer.json", About: "of a later release, which may be sealed in another way", Bad: "newer_format"},
			change: func([]byte) []byte { return []byte("{\"fmt\": 2, \"sealed\": \"otherwise\"}\n") }},
	}
}

// reseal makes a changed object's sha256 that of its content again.
func reseal(data []byte) []byte {
	head := data[:bytes.LastIndex(data, []byte(`  "object_sha256"`))]
	sum := sha256.Sum256(head)
	return append(bytes.Clone(head), []byte("  \"object_sha256\": \""+hex.EncodeToString(sum[:])+"\"\n}\n")...)
}
