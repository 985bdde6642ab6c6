package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/store/sqlitestore"
	"github.com/milepost-dev/milepost/test/s3test"
)

// onEachArchive runs a test over an SQLite store with each kind of archive. The test gets the
// archive, too.
func onEachArchive(t *testing.T, test func(t *testing.T, env []string, a archive.Archive)) {
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "archive")
		a, err := dirarchive.Open(dir)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, a.Close()) })
		test(t, append(sqliteStore(t), "MILEPOST_ARCHIVE=file:"+dir), a)
	})
	t.Run("S3", func(t *testing.T) {
		url, a := bucketArchive(t)
		test(t, append(sqliteStore(t), "MILEPOST_ARCHIVE="+url), a)
	})
}

// bucketArchive returns an archive in a bucket that only this test uses, and its URL.
func bucketArchive(t *testing.T) (url string, a archive.Archive) {
	t.Helper()
	for _, variable := range s3test.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	bucket, prefix := s3test.Place(t)
	a, err := s3archive.New(s3test.Client(t), bucket, prefix, nil)
	require.NoError(t, err)
	return bucketURL(t, bucket, prefix), a
}

func bucketURL(t *testing.T, bucket, prefix string) string {
	t.Helper()
	url := "s3://" + bucket + "/" + prefix
	if endpoint := s3test.Endpoint(t); endpoint != "" {
		url += "?endpoint=" + endpoint
	}
	return url
}

// without returns the environment with MILEPOST_ARCHIVE replaced.
func without(env []string) []string { return append(env[:len(env):len(env)], "MILEPOST_ARCHIVE=none") }

// openFile opens the SQLite store of a test's environment, as another program would while the
// command runs.
func openFile(t *testing.T, env []string) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// keys returns the keys of all objects below a prefix.
func keys(t *testing.T, a archive.Archive, prefix string) []string {
	t.Helper()
	var all []string
	for object, err := range a.List(t.Context(), prefix, nil) {
		require.NoError(t, err)
		all = append(all, object.Key)
	}
	return all
}

// noise returns a state of so many bytes that does not compress, as JSON.
func noise(size int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	data := bytes.Repeat([]byte{'"'}, size)
	for i := 1; i < size-1; i++ {
		data[i] = letters[random.IntN(len(letters))]
	}
	return data
}

// put writes an object that is not there, or replaces one.
func put(t *testing.T, a archive.Archive, key string, data []byte) {
	t.Helper()
	require.NoError(t, a.Delete(t.Context(), key))
	_, err := a.Create(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err)
}

func TestALargeStateGoesToTheArchiveAndComesBackByteForByte(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		state := noise(3 << 20)
		must(t, env, "set", "orders/eu", "--cursor", "x", "--state", writeFile(t, "state", state), "--execute")
		bodies := keys(t, a, "body/default/orders/eu/")
		require.Len(t, bodies, 1)

		to := filepath.Join(t.TempDir(), "state.json")
		out := must(t, env, "get", "orders/eu", "--state-to", to)
		assert.Contains(t, out, "3,145,728 bytes of application/json, in the archive: --state-to FILE writes them")
		written, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(state, written))
		assert.True(t, bytes.Equal(state, []byte(must(t, env, "get", "orders/eu", "--state-to", "-"))))
		cp := object(t, must(t, env, "get", "orders/eu", "-o", "json"))
		assert.Equal(t, bodies[0], cp["state_body"])
		assert.Equal(t, string(state[1:len(state)-1]), cp["state"])

		must(t, env, "set", "orders/eu", "--cursor", "y", "--execute")
		must(t, env, "rollback", "orders/eu", "--to", "1", "--execute")
		assert.Len(t, keys(t, a, "body/default/orders/eu/"), 3, "a body belongs to one version")

		r := milepost(t, without(env), "get", "orders/eu", "--state-to", to)
		assert.Equal(t, 6, r.exit, r.stderr)
		assert.Contains(t, r.stderr, "the state lies in an archive: name the archive, too")
	})
}

func TestAMissingOrDamagedStateIsNamedAndNotReplacedByAnother(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		must(t, env, "set", "flights", "--state", writeFile(t, "first", noise(9000)), "--execute")
		must(t, env, "set", "flights", "--state", writeFile(t, "second", noise(9001)), "--execute")
		bodies := keys(t, a, "body/default/flights/")
		require.Len(t, bodies, 2)
		to := filepath.Join(t.TempDir(), "state")
		require.NoError(t, os.WriteFile(to, []byte("as it was"), 0o600))
		for _, damage := range []struct {
			do   func()
			says string
		}{
			{func() { put(t, a, bodies[1], []byte("something else")) }, "is damaged"},
			{func() { require.NoError(t, a.Delete(t.Context(), bodies[1])) }, "is missing"},
		} {
			damage.do()
			for _, args := range [][]string{{"get", "flights"}, {"get", "flights", "--state-to", to}} {
				r := milepost(t, env, append(args, "-o", "json")...)
				f := r.failure(t)
				assert.Equal(t, 1, f.Exit)
				assert.Equal(t, "body_missing", f.Kind)
				assert.Contains(t, f.Error, "the state of version 2 of checkpoint flights: its body "+bodies[1]+" "+damage.says)
				assert.Empty(t, r.stdout)
			}
			r := milepost(t, env, "get", "flights")
			assert.Contains(t, r.stderr, "milepost rollback flights --to N")
		}
		left, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.Equal(t, "as it was", string(left))
		files, err := os.ReadDir(filepath.Dir(to))
		require.NoError(t, err)
		assert.Len(t, files, 1, "no part of a state is left")
	})
}

func TestHistoryContinuesInTheArchive(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, _ archive.Archive) {
		for i := range 6 {
			must(t, env, "set", "flights", "--cursor", fmt.Sprint(i+1), "--state", writeFile(t, "state", fmt.Appendf(nil, `{"n":%d}`, i+1)), "--execute")
		}
		s := openFile(t, env)
		for version := int64(1); version <= 3; version++ {
			c, err := s.Version(t.Context(), store.Key{Namespace: "default", Name: "flights"}, version)
			require.NoError(t, err)
			require.NoError(t, s.Remove(t.Context(), store.Key{Namespace: "default", Name: "flights"}, c))
		}
		assert.Equal(t, 6, strings.Count(must(t, env, "history", "flights", "-o", "json"), "\n"))
		assert.Equal(t, 3, strings.Count(must(t, without(env), "history", "flights", "-o", "json"), "\n"))
		assert.Regexp(t, `(?m)^ +2  2 .* done; in the archive$`, must(t, env, "history", "flights"))
		cp := object(t, must(t, env, "get", "flights", "--version", "2", "-o", "json"))
		assert.Equal(t, "2", cp["cursor"])
		assert.Equal(t, true, cp["archived"])
		assert.Contains(t, must(t, env, "get", "flights", "--version", "2"), "only in the archive")
		assert.Equal(t, 3, milepost(t, without(env), "get", "flights", "--version", "2").exit)
		assert.Contains(t, must(t, env, "rollback", "flights", "--to", "2"), "cursor   6  →  2")
		must(t, env, "rollback", "flights", "--to", "2", "--execute")
		assert.Equal(t, `{"n":2}`, must(t, env, "get", "flights", "--state-to", "-"))
		assert.Regexp(t, `(?m) 1–1 `, must(t, env, "runs", "flights"))
	})
}

func TestABatchIsMirroredWhileItRuns(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		must(t, env, "batch", "flights", writeFile(t, "in", numbered(50)), "--every", "10", "--", "cat")
		mirror := keys(t, a, "v/default/flights/")
		require.Len(t, mirror, 6)
		assert.Equal(t, "v/default/flights/latest.json", mirror[5])
		data, _, err := archive.ReadAll(t.Context(), a, mirror[5], 1<<20)
		require.NoError(t, err)
		assert.Equal(t, "50", object(t, string(data))["cursor"])
	})
}

func TestTheURLSaysWhatIsMirrored(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		separator := "?"
		if strings.Contains(env[1], "?") {
			separator = "&"
		}
		input := writeFile(t, "in", numbered(50))
		for policy, want := range map[string]int{"every": 6, "sessions": 2, "off": 0} {
			must(t, []string{env[0], env[1] + separator + "mirror=" + policy}, "batch", policy, input, "--every", "10", "--", "cat")
			assert.Len(t, keys(t, a, "v/default/"+policy+"/"), want, policy)
		}
	})
}

func TestTheDefaultArchiveIsNextToTheDefaultStore(t *testing.T) {
	state := t.TempDir()
	env := []string{"MILEPOST_STORE=", "MILEPOST_ARCHIVE=", "XDG_STATE_HOME=" + state, "HOME=" + state, "LOCALAPPDATA=" + state}
	r := milepost(t, env, "set", "a", "--state", writeFile(t, "state", noise(9000)), "--execute", "-v")
	require.Zero(t, r.exit, r.stderr)
	dir := filepath.Join(filepath.Dir(storeFile(t, state)), "archive")
	assert.Contains(t, r.stderr, "milepost: archive file:"+dir)
	assert.Contains(t, must(t, env, "check"), "archive file:"+dir)
	files, err := filepath.Glob(dir + "/v/default/a/*.json")
	require.NoError(t, err)
	assert.Len(t, files, 2)

	named := sqliteStore(t)
	r = milepost(t, append(named, "MILEPOST_ARCHIVE="), "set", "a", "--cursor", "x", "--execute", "-v")
	assert.Contains(t, r.stderr, "milepost: archive none", "a named store has no default archive")
	r = milepost(t, append(env, "MILEPOST_ARCHIVE=none"), "set", "b", "--cursor", "x", "--execute", "-v")
	assert.Contains(t, r.stderr, "milepost: archive none")
}

func TestCheckProvesTheArchive(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		must(t, env, "table", "create")
		assert.Contains(t, must(t, env, "check"), "the archive honours If-None-Match and If-Match")
		assert.Contains(t, must(t, env, "check", "-o", "json"), `"findings":0`)
		assert.Empty(t, keys(t, a, ""), "the scratch object is gone")
	})
	bucket, _ := s3test.Place(t)
	for _, variable := range s3test.Env(t) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	env := sqliteStore(t)
	must(t, env, "table", "create")
	missing := "MILEPOST_ARCHIVE=" + bucketURL(t, bucket+"-not", "p")
	assert.Equal(t, "no_table", milepost(t, append(env, missing), "check", "-o", "json").failure(t).Kind)
	nowhere := "MILEPOST_ARCHIVE=s3://bucket/p?region=eu-west-1&endpoint=http://127.0.0.1:1"
	assert.Equal(t, 8, milepost(t, append(env, nowhere), "check").exit)
	absent := "MILEPOST_ARCHIVE=file:" + filepath.Join(t.TempDir(), "none")
	r := milepost(t, append(env, absent), "check")
	assert.Equal(t, 1, r.exit)
	assert.Contains(t, r.stderr, "run milepost archive sync, or a first milepost batch")
}

// deaf is an archive that ignores all conditions, as some servers that speak S3 do.
type deaf struct{ archive.Archive }

func (d deaf) Create(ctx context.Context, key string, body io.Reader) (archive.Object, error) {
	if err := d.Delete(ctx, key); err != nil {
		return archive.Object{}, err
	}
	return d.Archive.Create(ctx, key, body)
}

func (d deaf) Check(ctx context.Context) error {
	return archive.CheckConditions(ctx, d, nil)
}

func TestCheckReportsAnArchiveThatHonoursNoConditionAsUnsafe(t *testing.T) {
	dir, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	found, err := (&openArchive{Archive: deaf{dir}}).check(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "broken", found[0].Severity)
	assert.Contains(t, found[0].Problem, "it does not honour If-None-Match")

	var out bytes.Buffer
	err = (&app{stdout: &out, output: "table"}).printFindings(&openStore{}, found)
	assert.ErrorContains(t, err, "not safe to use")
	assert.Contains(t, out.String(), "it does not honour If-None-Match")
}

func TestDeleteLeavesTheMirrorUnlessItPurges(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		for _, name := range []string{"a", "a/body"} {
			must(t, env, "set", name, "--state", writeFile(t, "state", noise(9000)), "--execute")
			must(t, env, "set", name, "--cursor", "x", "--execute")
		}
		must(t, env, "delete", "a", "--execute")
		assert.Len(t, keys(t, a, "body/default/a/"+home(t, env)+"-1"), 1, "the mirror's")

		must(t, env, "set", "a", "--state", writeFile(t, "state", noise(9000)), "--execute")
		before := keys(t, a, "")
		plan := must(t, env, "delete", "a", "--purge")
		assert.Regexp(t, `(?m)^Would delete in .*: 5 objects of the mirror and 3 bodies, \d+\.\d KiB\. A bucket with versioning keeps them\.$`, plan)
		assert.Equal(t, before, keys(t, a, ""), "a plan changes nothing")
		out := object(t, must(t, env, "delete", "a", "--purge", "--execute", "-o", "json"))
		assert.EqualValues(t, "3", out["purged"].(map[string]any)["bodies"])
		for _, key := range keys(t, a, "") {
			assert.Contains(t, key, "/a/body/")
		}
		assert.Len(t, keys(t, a, ""), 5, "the objects of a/body, whose prefix begins with that of a's bodies")
		assert.Equal(t, 2, milepost(t, without(env), "delete", "a/body", "--purge").exit)
	})
}

// home begins the names of the bodies that the file's store makes.
func home(t *testing.T, env []string) string {
	t.Helper()
	return archive.Home(openFile(t, env))
}

func TestGCRemovesOnlyWhatNoVersionRefersTo(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		must(t, env, "set", "flights", "--state", writeFile(t, "state", noise(9000)), "--execute")
		kept := keys(t, a, "body/")
		orphan, above := "body/default/flights/"+home(t, env)+"-1-orphan", "body/default/flights/"+home(t, env)+"-7-slow"
		copied := "body/default/flights/0a1b2c3d-1-orphan"
		put(t, a, orphan, []byte("left by a process that died"))
		put(t, a, above, []byte("of a save that is under way"))
		put(t, a, copied, []byte("of a copy of this file"))

		plan := must(t, env, "gc")
		assert.Regexp(t, `^Would remove 1 body of flights, 27 bytes, that no version refers to \(3 stay\):\n  `+orphan+`  27 bytes\nNothing was changed\.`, plan)
		assert.Len(t, keys(t, a, "body/"), 4)
		item := object(t, must(t, env, "gc", "flights", "--execute", "-o", "json"))
		assert.Equal(t, true, item["executed"])
		assert.Equal(t, "orphan", item["bodies"].([]any)[0].(map[string]any)["commit_id"])
		assert.EqualValues(t, "1", item["of_other_stores"])
		assert.ElementsMatch(t, append(kept, above, copied), keys(t, a, "body/"))
		assert.Equal(t, "There is nothing to remove; 3 bodies stay.\n", must(t, env, "gc", "--execute"))
		must(t, env, "gc", "--all-homes", "--execute")
		assert.ElementsMatch(t, append(kept, above), keys(t, a, "body/"))
	})
}

func TestABadArchiveURLIsWrongUsage(t *testing.T) {
	env := sqliteStore(t)
	for _, bad := range []string{"dir", "s3://bucket/../p", "s3://bucket/" + strings.Repeat("p", 900)} {
		r := milepost(t, env, "list", "--archive", bad+"?region=eu-west-1")
		assert.Equal(t, 2, milepost(t, append(env, "MILEPOST_ARCHIVE="+bad+"?region=x"), "set", "a", "--cursor", "x", "--execute").exit, bad)
		assert.NotZero(t, r.exit)
	}
	for _, command := range []string{"sync", "verify", "restore"} {
		must(t, env, "table", "create")
		assert.Equal(t, 2, milepost(t, env, "archive", command).exit, command)
	}
}

// items are what a command printed as JSON, a line each.
func items(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		all = append(all, object(t, line))
	}
	return all
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}
