//go:build linux

package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

// othersThan returns the objects of all checkpoints except one, which a command on that one must
// not touch.
func (p *place) othersThan(of string) map[string]int64 {
	all := keys(p.t, p.archive, "")
	for key := range all {
		for _, root := range []string{"v/", "body/"} {
			last, found := strings.CutPrefix(key, root+of+"/")
			if found && !strings.Contains(last, "/") {
				delete(all, key)
			}
		}
	}
	return all
}

func TestCheckpointsAndNamespacesThatShareABucketNeverTouchOneAnother(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	dir := t.TempDir()
	type checkpoint struct{ namespace, name string }
	all := []checkpoint{{"default", "a"}, {"default", "a/body"}, {"default", "a/v"}, {"default", "a/latest.json"}, {"other", "a"}, {"defaul", "t/a"}}
	home := ""
	orphan := func(namespace, name string) string {
		for body := range keys(t, p.archive, "body/") {
			_, id, err := archive.ParseBodyKey(body)
			require.NoError(t, err)
			home = id.Home
		}
		return archive.BodyKey(store.Key{Namespace: namespace, Name: name}, archive.BodyID{Home: home, Version: 1, CommitID: "orphan"})
	}
	for i, c := range all {
		state := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(state, noise(20_000, uint64(i)), 0o600))
		for range 2 {
			must(t, p.env, "set", c.name, "--namespace", c.namespace, "--cursor", fmt.Sprint(i), "--state", state,
				"--content-type", "application/octet-stream", "--execute")
		}
		_, err := p.archive.Create(t.Context(), orphan(c.namespace, c.name), strings.NewReader("x"))
		require.NoError(t, err)
	}
	whole := func(i int) {
		t.Helper()
		c := all[i]
		assert.Equal(t, noise(20_000, uint64(i)), []byte(must(t, p.env, "get", c.name, "--namespace", c.namespace, "--state-to", "-")), c)
	}

	others := p.othersThan("default/a")
	collected := item(t, must(t, p.env, "gc", "a", "--execute", "-o", "json"))
	assert.Len(t, collected["bodies"], 1)
	assert.Equal(t, others, p.othersThan("default/a"), "gc of a")

	must(t, p.env, "gc", "--execute") // of all in the namespace default
	left := keys(t, p.archive, "body/")
	assert.Contains(t, left, orphan("other", "a"))
	assert.Contains(t, left, orphan("defaul", "t/a"))
	assert.NotContains(t, left, orphan("default", "a/body"))
	for i := range all {
		whole(i)
	}

	// Damage to one checkpoint is a finding only of that checkpoint.
	damaged := ""
	for key := range keys(t, p.archive, "body/default/a/body/"+home+"-2-") {
		damaged = key
	}
	require.NotEmpty(t, damaged)
	require.NoError(t, p.archive.Delete(t.Context(), damaged))
	_, err := p.archive.Create(t.Context(), damaged, bytes.NewReader([]byte("flipped")))
	require.NoError(t, err)
	assert.Zero(t, milepost(t, p.env, "archive", "verify", "a", "a/v", "a/latest.json").exit())
	assert.Zero(t, milepost(t, p.env, "archive", "verify", "--namespace", "other", "a").exit())
	assert.Equal(t, 1, milepost(t, p.env, "archive", "verify", "a/body").exit())
	assert.Equal(t, 1, milepost(t, p.env, "archive", "verify").exit())

	// A restore restores one checkpoint and no other.
	p.lose()
	others = p.othersThan("default/a")
	must(t, p.env, "archive", "restore", "a", "--execute")
	assert.Equal(t, others, p.othersThan("default/a"), "restore of a")
	whole(0)
	for _, c := range all[1:] {
		assert.NotZero(t, milepost(t, p.env, "get", c.name, "--namespace", c.namespace).exit(), c)
	}
	must(t, p.env, "archive", "restore", "--namespace", "other", "--execute")
	whole(4)
	assert.NotZero(t, milepost(t, p.env, "get", "t/a", "--namespace", "defaul").exit())

	others = p.othersThan("default/a")
	must(t, p.env, "delete", "a", "--purge", "--execute")
	assert.Equal(t, others, p.othersThan("default/a"), "purge of a")
	assert.Equal(t, others, keys(t, p.archive, ""), "nothing of a is left")
}
