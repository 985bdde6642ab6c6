package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// lose removes the SQLite file.
func lose(t *testing.T, env []string) {
	t.Helper()
	files, err := filepath.Glob(strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:") + "*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.NoError(t, os.Remove(file))
	}
}

func TestSyncMirrorsWhatTheStoreHasAndNamesWhatIsLost(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		for i := range 5 {
			must(t, without(env), "set", "flights", "--cursor", fmt.Sprint(i+1), "--execute")
		}
		must(t, without(env), "set", "orders", "--cursor", "x", "--state", writeFile(t, "state", noise(20_000)), "--execute")
		s := openFile(t, env)
		key := store.Key{Namespace: "default", Name: "flights"}
		c, err := s.Version(t.Context(), key, 2)
		require.NoError(t, err)
		require.NoError(t, s.Remove(t.Context(), key, c))

		plan := must(t, env, "archive", "sync", "--dry-run")
		assert.Equal(t, "flights: 4 versions not mirrored yet, 0 before; lost, because they expired before they were mirrored: version 2\n"+
			"orders: 1 version not mirrored yet, 0 before\n", plan)
		assert.Empty(t, keys(t, a, ""))
		done := items(t, must(t, env, "archive", "sync", "-o", "json"))
		require.Len(t, done, 2)
		assert.EqualValues(t, "4", done[0]["mirrored"])
		assert.Equal(t, `[{"first_version":2,"last_version":2}]`, jsonText(t, done[0]["gaps"]))
		assert.Len(t, keys(t, a, "v/default/flights/"), 5)
		assert.Len(t, keys(t, a, "body/default/orders/"), 1, "a state that is inline in the store, and too large to be inline in the archive")
		assert.Contains(t, must(t, env, "archive", "sync", "flights"), "flights: 0 versions mirrored now, 4 before")
		assert.Equal(t, 3, milepost(t, env, "archive", "sync", "none").exit)
		assert.Equal(t, 2, milepost(t, env, "archive", "sync", "flights", "--prefix", "f").exit)
		r := milepost(t, env, "archive", "sync", "--prefix", "z")
		assert.Zero(t, r.exit)
		assert.Contains(t, r.stderr, `no checkpoints begin with "z"`)
	})
}

func TestVerifyFindsWhatIsWrongAndExitsWithOne(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		for i := range 4 {
			must(t, env, "set", "flights", "--cursor", fmt.Sprint(i+1), "--state", writeFile(t, "state", noise(9000+i)), "--execute")
		}
		must(t, env, "set", "orders", "--cursor", "x", "--execute")
		assert.Regexp(t, `^2 checkpoints, 7 objects and 4 bodies read, \d+\.\d KiB: 0 findings\n$`, must(t, env, "archive", "verify"))

		// A version that may not be mirrored yet is not a finding. The next saves learn that the
		// first versions are mirrored.
		s := openFile(t, env)
		wait := func() bool {
			found, err := s.Look(t.Context(), store.Key{Namespace: "default", Name: "flights"})
			require.NoError(t, err)
			return found.Head.ArchivedThrough < 4
		}
		for tries := 0; wait(); tries++ {
			require.Less(t, tries, 100, "no save learned what was mirrored")
			must(t, env, "set", "flights", "--cursor", "more", "--execute")
		}
		objects := keys(t, a, "v/default/flights/")
		data, _, err := archive.ReadAll(t.Context(), a, objects[0], 1<<20)
		require.NoError(t, err)
		put(t, a, objects[0], bytes.Replace(data, []byte(`"cursor": "1"`), []byte(`"cursor": "7"`), 1))
		require.NoError(t, a.Delete(t.Context(), objects[1]))
		gone, other := keys(t, a, "body/default/flights/"+home(t, env)+"-3-")[0], keys(t, a, "body/default/flights/"+home(t, env)+"-4-")[0]
		require.NoError(t, a.Delete(t.Context(), gone))
		put(t, a, other, []byte("something else"))
		put(t, a, "v/default/flights/notes.json", []byte("{}"))

		r := milepost(t, env, "archive", "verify", "-o", "json")
		assert.Equal(t, 1, r.exit, r.stderr)
		found := map[string]string{}
		all := items(t, r.stdout)
		for _, f := range all[:len(all)-1] {
			assert.Equal(t, "flights", f["name"])
			found[f["object"].(string)] = f["kind"].(string)
		}
		assert.Equal(t, "damaged", found[objects[0]])
		assert.Equal(t, "missing", found[objects[1]], r.stdout)
		assert.Equal(t, "body_missing", found[gone], r.stdout)
		assert.Equal(t, "damaged", found[other], r.stdout)
		assert.Equal(t, "foreign", found["v/default/flights/notes.json"])
		assert.EqualValues(t, fmt.Sprint(len(all)-1), all[len(all)-1]["findings"])

		r = milepost(t, env, "archive", "verify", "flights")
		assert.Equal(t, 1, r.exit)
		assert.Regexp(t, `(?m)^NAME +FINDING +VERSIONS +OBJECT +DETAIL$`, r.stdout)
		assert.Regexp(t, `(?m)^flights +damaged +1 +`+objects[0]+` `, r.stdout)
		assert.Contains(t, r.stderr, "has errors: see above")
		assert.Zero(t, milepost(t, env, "archive", "verify", "orders").exit)

		must(t, env, "archive", "sync", "flights") // repairs what it can
		r = milepost(t, env, "archive", "verify", "flights", "-o", "json")
		assert.NotContains(t, r.stdout, `"kind":"missing"`)
	})
}

func TestAFileThatIsLostIsRestored(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, _ archive.Archive) {
		threeVersions(t, env, "flights")
		must(t, env, "set", "orders", "--cursor", "x", "--execute")
		must(t, env, "delete", "orders", "--execute")
		must(t, env, "set", "large", "--state", writeFile(t, "state", noise(20_000)), "--execute")
		before := must(t, env, "get", "flights", "-o", "json")
		lose(t, env)

		r := milepost(t, env, "set", "flights", "--cursor", "0", "--execute")
		assert.Equal(t, 6, r.exit, r.stderr)
		assert.Contains(t, r.stderr, "restore")
		r = milepost(t, env, "batch", "flights", writeFile(t, "in", numbered(3)), "--", "cat")
		assert.Equal(t, 6, r.exit, r.stderr)
		assert.Empty(t, r.stdout, "the job did not start from zero")

		r = milepost(t, env, "archive", "restore")
		assert.Zero(t, r.exit, r.stderr)
		assert.Contains(t, r.stderr, `"orders" is left unchanged`)
		assert.Regexp(t, `(?m)^Would write version 4 of flights with the content of version 3 of epoch 3 \(\d{4}-.*Z\):$`, r.stdout)
		assert.Regexp(t, `(?m)^  cursor +– +→ +three$`, r.stdout)
		assert.Contains(t, r.stdout, "  with 3 versions before it\n")
		assert.Contains(t, r.stdout, "Nothing was changed. Add --execute to do it.\n")
		assert.Equal(t, 3, milepost(t, env, "get", "flights").exit)

		done := items(t, must(t, env, "archive", "restore", "--execute", "--reason", "INC-7", "-o", "json"))
		require.Len(t, done, 2)
		assert.Equal(t, true, done[0]["executed"])
		assert.Equal(t, object(t, before)["commit_id"], done[0]["from"].(map[string]any)["commit_id"])
		cp := object(t, must(t, env, "get", "flights", "-o", "json"))
		assert.Equal(t, "three", cp["cursor"])
		assert.Equal(t, "INC-7", cp["reason"])
		assert.EqualValues(t, "1000003", cp["epoch"])
		assert.Equal(t, noise(20_000), []byte(must(t, env, "get", "large", "--state-to", "-")))

		r = milepost(t, env, "archive", "restore")
		assert.Zero(t, r.exit, "of all, nothing is lost any more: %s", r.stderr)
		assert.Equal(t, 6, milepost(t, env, "archive", "restore", "flights").exit)
		assert.Equal(t, 3, milepost(t, env, "archive", "restore", "none").exit)
	})
}

func TestAStoreThatIsBehindIsNotTakenForAWholeOne(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, _ archive.Archive) {
		threeVersions(t, env, "flights")
		lose(t, env)
		must(t, without(env), "set", "flights", "--cursor", "old", "--execute")
		r := milepost(t, env, "archive", "restore")
		assert.Equal(t, 6, r.exit, r.stderr)
		r = milepost(t, env, "archive", "restore", "--behind", "--execute")
		assert.Equal(t, 6, r.exit, r.stderr)
		assert.Contains(t, r.stderr, "two histories", "the store's version 1 is not the mirror's")
		assert.Equal(t, 4, milepost(t, env, "archive", "restore", "flights", "--behind", "--if-version", "2").exit)
		must(t, env, "archive", "restore", "flights", "--behind", "--if-version", "1", "--execute")
		assert.Equal(t, "three", object(t, must(t, env, "get", "flights", "-o", "json"))["cursor"])
	})
}

func TestAnExportIsWholeOrIsNotWritten(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		threeVersions(t, env, "orders")
		must(t, env, "set", "flights", "--state", writeFile(t, "state", noise(9000)), "--execute")
		to := filepath.Join(t.TempDir(), "out.jsonl")
		r := milepost(t, env, "export", "--to", to)
		require.Zero(t, r.exit, r.stderr)
		assert.Contains(t, r.stderr, "exported 4 versions of 2 checkpoints")
		file, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.Equal(t, string(file), must(t, env, "export"))
		assert.Len(t, items(t, must(t, env, "export", "orders", "--newest")), 1+1)
		assert.True(t, strings.HasSuffix(string(file), "{\"fmt\":1,\"end\":{\"checkpoints\":2,\"versions\":4}}\n"))

		require.NoError(t, a.Delete(t.Context(), keys(t, a, "body/default/flights/")[0]))
		r = milepost(t, env, "export", "--to", to, "-o", "json")
		assert.Equal(t, "body_missing", r.failure(t).Kind)
		same, err := os.ReadFile(to)
		require.NoError(t, err)
		assert.Equal(t, file, same, "the file is as it was")
		r = milepost(t, env, "export", "flights")
		assert.Equal(t, 1, r.exit)
		assert.Empty(t, r.stdout, "no part of a checkpoint")
		assert.Equal(t, 3, milepost(t, env, "export", "none").exit)
	})
}

func TestAnExportIsImportedIntoEachEngine(t *testing.T) {
	from := sqliteStore(t)
	threeVersions(t, from, "orders/eu")
	must(t, from, "pin", "orders/eu", "--version", "2", "--label", "good", "--execute")
	file := writeFile(t, "export.jsonl", []byte(must(t, from, "export")))
	onEachEngine(t, func(t *testing.T, env []string) {
		must(t, env, "table", "create")
		plan := must(t, env, "import", file)
		assert.Regexp(t, `^Would import 3 versions of orders/eu: the newest is at cursor three, 30 processed, saved at .*Z\nNothing was changed\.`, plan)
		done := object(t, must(t, env, "import", file, "--execute", "-o", "json"))
		assert.EqualValues(t, "3", done["versions"])
		assert.Contains(t, must(t, env, "get", "orders/eu", "-o", "json"), `"sum":9223372036854775807,"rate":0.1,"huge":1e400,"none":null`)
		assert.Equal(t, "good", object(t, must(t, env, "get", "orders/eu", "--version", "2", "-o", "json"))["label"])
		assert.Contains(t, must(t, env, "import", file, "--execute"), "Imported 0 versions of orders/eu, of which 3 are already there")

		must(t, env, "set", "orders/eu", "--cursor", "moved on", "--execute")
		r := milepost(t, env, "import", file, "--execute")
		assert.Equal(t, 6, r.exit, r.stderr)
		must(t, env, "import", file, "--namespace", "other", "--execute")

		cut := must(t, from, "export")
		cut = cut[:strings.LastIndexByte(strings.TrimSpace(cut), '\n')+1]
		r = milepost(t, env, "import", writeFile(t, "cut", []byte(cut)), "--namespace", "cut", "--execute")
		assert.Equal(t, 1, r.exit)
		assert.Contains(t, r.stderr, "--partial")
		assert.Equal(t, 3, milepost(t, env, "get", "orders/eu", "--namespace", "cut").exit)
		must(t, env, "import", writeFile(t, "cut", []byte(cut)), "--namespace", "cut", "--partial", "--execute")
		assert.Equal(t, 2, milepost(t, env, "import", "--from", "s3-json", "s3://a/b", "c", "--partial").exit)

		bad := writeFile(t, "bad", []byte("{\"fmt\":2}\n"))
		assert.Equal(t, "newer_format", milepost(t, env, "import", bad, "-o", "json").failure(t).Kind)
		bad = writeFile(t, "bad", []byte("no line of an export\n"))
		assert.Equal(t, "bad_record", milepost(t, env, "import", bad, "-o", "json").failure(t).Kind)
	})
	for _, args := range [][]string{
		{"import", "a", "b"}, {"import", "--from", "x"}, {"import", "--from", "s3-json", "s3://bucket/p"}, {"import", file, "--skip", "x"},
		{"import", "--from", "s3-json", "file:x", "a"},
	} {
		assert.Equal(t, 2, milepost(t, from, args...).exit, args)
	}
	assert.Equal(t, 1, milepost(t, from, "import", "no-such-file").exit)
}

func TestADeletedCheckpointIsRestoredByNameAndTime(t *testing.T) {
	env := append(sqliteStore(t), "MILEPOST_ARCHIVE=file:"+t.TempDir())
	must(t, env, "set", "flights", "--cursor", "7", "--execute")
	saved := object(t, must(t, env, "get", "flights", "-o", "json"))["saved_at"].(string)
	must(t, env, "delete", "flights", "--execute")
	assert.Contains(t, must(t, env, "delete", "flights", "--purge"), "Would delete flights: what an earlier delete left.")

	refused := milepost(t, env, "archive", "restore", "flights")
	assert.Equal(t, 6, refused.exit)
	assert.Contains(t, refused.stderr, "it was deleted with that version: name a time before it")
	all := milepost(t, env, "archive", "restore", "--at", saved, "--execute")
	assert.Zero(t, all.exit, all.stderr)
	assert.Contains(t, all.stderr, `"flights" is left unchanged`, "a restore of all leaves deleted checkpoints deleted")
	assert.Contains(t, must(t, env, "archive", "restore", "flights", "--at", saved, "--execute"), "Wrote version 3 of flights with the content of version 1")
	assert.Equal(t, "7", object(t, must(t, env, "get", "flights", "-o", "json"))["cursor"])
	must(t, env, "archive", "verify")
}

func TestPruneKeepsWhatItSays(t *testing.T) {
	env := sqliteStore(t)
	old := time.Now().Add(-48 * time.Hour)
	var versions []*checkpoint.Checkpoint
	for i := range 6 {
		versions = append(versions, &checkpoint.Checkpoint{Version: store.Version{
			Number: int64(i + 1), SavedAt: old.Add(time.Duration(i) * 9 * time.Hour), Content: store.Content{Cursor: fmt.Sprint(i + 1)},
		}})
	}
	versions[1].Label = "good"
	s := openFile(t, env)
	_, err := checkpoint.Namespace{Store: s}.ImportVersions(t.Context(), "flights", func(yield func(*checkpoint.Checkpoint, error) bool) {
		for _, v := range versions {
			if !yield(v, nil) {
				return
			}
		}
	}, nil)
	require.NoError(t, err)

	archived := append(env, "MILEPOST_ARCHIVE=file:"+t.TempDir()) // this archive was never synced
	kept := milepost(t, archived, "prune", "--older-than", "1d")
	assert.Equal(t, "There is nothing to remove; 6 versions stay.\n", kept.stdout)
	assert.Equal(t, "milepost: 2 versions of flights stay until they are mirrored: run milepost archive sync\n", kept.stderr)
	must(t, archived, "archive", "sync")
	assert.Contains(t, must(t, archived, "prune", "--older-than", "1d"), "Would remove 2 versions of flights (1, 3)")

	plan := must(t, env, "prune", "--older-than", "1d")
	assert.Regexp(t, `^Would remove 2 versions of flights \(1, 3\), the youngest saved at .*Z; 4 stay\.\nNothing was changed\.`, plan)
	assert.Equal(t, 6, strings.Count(must(t, env, "history", "flights", "-o", "json"), "\n"))
	done := object(t, must(t, env, "prune", "flights", "--older-than", "1d", "--execute", "-o", "json"))
	assert.Equal(t, "[3,1]", jsonText(t, done["versions"]))
	assert.Equal(t, 4, strings.Count(must(t, env, "history", "flights", "-o", "json"), "\n"))
	assert.Equal(t, "There is nothing to remove; 4 versions stay.\n", must(t, env, "prune", "--older-than", "24h", "--execute"))
	for _, age := range []string{"10m", "x", "-1d", "1.5d", ""} {
		assert.Equal(t, 2, milepost(t, env, "prune", "--older-than", age).exit, age)
	}
	assert.Equal(t, 2, milepost(t, env, "prune", "--keep-starts", "-1").exit)
	assert.Equal(t, []string{"1–3", "5", "7–8"}, runsOf([]int64{8, 7, 5, 3, 2, 1}))
}

func TestCountsAreWrittenForPeople(t *testing.T) {
	assert.Equal(t, "1 body", countText(1, "body"))
	assert.Equal(t, "1,204 bodies", countText(1204, "body"))
	assert.Equal(t, "0 versions", versionsText(0))
	assert.Equal(t, "versions 1–4", rangeText(1, 4))
}

func TestTheRestOfAFirstSaveThatDiedIsNotALostCheckpoint(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		must(t, env, "set", "orders", "--cursor", "x", "--execute")
		put(t, a, "body/default/flights/"+home(t, env)+"-1-C", []byte("half a save"))
		assert.Contains(t, must(t, env, "archive", "verify"), "2 checkpoints, 2 objects and 0 bodies read")
		assert.Contains(t, must(t, env, "archive", "verify", "flights"), "1 checkpoint, 0 objects and 0 bodies read")
		r := milepost(t, env, "archive", "restore", "--execute")
		assert.Zero(t, r.exit, r.stderr)
		assert.Contains(t, r.stderr, `"flights" is left unchanged`)
		assert.Equal(t, 3, milepost(t, env, "archive", "restore", "flights").exit)
		assert.Contains(t, must(t, env, "gc"), "There is nothing to remove; 1 body stay.")
		must(t, env, "set", "flights", "--cursor", "1", "--execute")
	})
}

func TestVersionsFromBeforeTheArchiveAreNoted(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, a archive.Archive) {
		s := openFile(t, env)
		key := store.Key{Namespace: "default", Name: "flights"}
		expire := func(version int64) {
			c, err := s.Version(t.Context(), key, version)
			require.NoError(t, err)
			require.NoError(t, s.Remove(t.Context(), key, c))
		}
		for i := range 3 {
			must(t, without(env), "set", "flights", "--cursor", fmt.Sprint(i+1), "--execute")
		}
		expire(1)
		must(t, env, "archive", "sync")
		for i := range 3 {
			must(t, env, "set", "flights", "--cursor", fmt.Sprint(i+4), "--execute")
		}
		out := must(t, env, "archive", "verify")
		assert.Regexp(t, `(?m)^flights +gap \(note\) +1 +– +they expired before there was an archive`, out)
		assert.Contains(t, out, ": 0 findings, 1 note\n")

		require.NoError(t, a.Delete(t.Context(), keys(t, a, "v/default/flights/00000000000000000004")[0]))
		expire(4)
		assert.Equal(t, 1, milepost(t, env, "archive", "verify").exit)
		known := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		all := items(t, must(t, env, "archive", "verify", "--known-before", known, "-o", "json"))
		require.Len(t, all, 3)
		assert.Equal(t, true, all[1]["note"])
		assert.EqualValues(t, "2", all[2]["notes"])
		r := milepost(t, env, "archive", "verify", "--known-before", "yesterday")
		assert.Equal(t, 2, r.exit)
		assert.Contains(t, r.stderr, `--known-before "yesterday"`)
	})
}

// files reads the files of the SQLite store, and returns what puts them back.
func files(t *testing.T, env []string) (putBack func()) {
	t.Helper()
	at := strings.TrimPrefix(env[0], "MILEPOST_STORE=sqlite:")
	found, err := filepath.Glob(at + "*")
	require.NoError(t, err)
	kept := map[string][]byte{}
	for _, file := range found {
		kept[file], err = os.ReadFile(file)
		require.NoError(t, err)
	}
	return func() {
		lose(t, env)
		for file, data := range kept {
			require.NoError(t, os.WriteFile(file, data, 0o600))
		}
	}
}

func TestAFileThatWasPutBackIsRefusedAndTheCommandsThatItNamesGoOn(t *testing.T) {
	onEachArchive(t, func(t *testing.T, env []string, _ archive.Archive) {
		cursor := func() any { return object(t, must(t, env, "get", "flights", "-o", "json"))["cursor"] }
		for i := range 4 {
			must(t, env, "set", "flights", "--cursor", fmt.Sprint(i+1), "--execute")
		}
		putBack := files(t, env)
		for i := range 3 {
			must(t, env, "set", "flights", "--cursor", fmt.Sprint(i+5), "--execute")
		}
		putBack()
		for _, args := range [][]string{{"set", "flights", "--cursor", "5b", "--execute"}, {"run", "flights", "--", "true"}} {
			r := milepost(t, env, args...)
			assert.Equal(t, 1, r.exit)
			assert.Contains(t, r.stderr, "the store has gone backward")
			assert.Contains(t, r.stderr, "milepost archive restore flights --behind")
			assert.Contains(t, r.stderr, "milepost archive restore flights --keep-store")
		}
		again := files(t, env)
		must(t, env, "archive", "restore", "flights", "--behind", "--execute")
		assert.Equal(t, "7", cursor())
		must(t, env, "set", "flights", "--cursor", "9", "--execute")
		assert.Equal(t, "9", cursor())

		again()
		assert.Equal(t, 1, milepost(t, env, "set", "flights", "--cursor", "5b", "--execute").exit, "back once more")
		assert.Equal(t, 2, milepost(t, env, "archive", "restore", "--keep-store", "--execute").exit, "for one checkpoint only")
		assert.Equal(t, 2, milepost(t, env, "archive", "restore", "flights", "--keep-store", "--behind").exit)
		assert.Contains(t, must(t, env, "archive", "restore", "flights", "--keep-store"), "Nothing was changed")
		must(t, env, "archive", "restore", "flights", "--keep-store", "--execute")
		assert.Equal(t, "4", cursor())
		must(t, env, "set", "flights", "--cursor", "5b", "--execute")
		must(t, env, "archive", "verify")
	})
}
