//go:build linux

package archive_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/s3test"
)

// putAll writes objects below a prefix in a random order, so that the last one written is not the
// newest.
func putAll(t *testing.T, client *s3.Client, bucket, prefix string, objects map[string]string) {
	t.Helper()
	var keys []string
	for key := range objects {
		keys = append(keys, key)
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	atOnce(keys, func(key string) {
		whole := prefix + "/" + key
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &whole, Body: strings.NewReader(objects[key])})
		assert.NoError(t, err)
	})
	t.Cleanup(func() { // deleting them one after the other, as s3test does, takes long
		ctx, cancel := context.WithTimeout(context.Background(), eventually)
		defer cancel()
		atOnce(keys, func(key string) {
			whole := prefix + "/" + key
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &whole})
			assert.NoError(t, err)
		})
	})
}

// atOnce calls do for each key, several at once.
func atOnce(keys []string, do func(key string)) {
	next := make(chan string)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for key := range next {
				do(key)
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	workers.Wait()
}

func TestManyHomeMadeCheckpointsBecomeOneHistory(t *testing.T) {
	t.Parallel()
	const count = 2500
	env := append(credentialsOfBoth(t), "MILEPOST_STORE=sqlite:"+filepath.Join(t.TempDir(), "jobs.db"), "MILEPOST_ARCHIVE=none")
	must(t, env, "table", "create")
	bucket, prefix := s3test.Place(t)
	source := "s3://" + bucket + "/" + prefix
	if endpoint := s3test.Endpoint(t); endpoint != "" {
		source += "?endpoint=" + endpoint
	}
	// The seconds go from nine digits to ten, so that the listing is not in the order of time.
	const begin = 1_000_000_000 - 1200
	objects := map[string]string{}
	var want []string // the cursors, in order
	record := func(i int, at time.Time) string {
		if i%2 == 0 {
			return fmt.Sprintf(`{"last_processed_id": "record-%d", "timestamp": %q, "batch_statistics": {"processed_records": %d, "failed_records": %d}, `+
				`"custom_state": {"sum": 9223372036854775807}, "team": "ours"}`, i, at.Format("2006-01-02T15:04:05.000000"), i*1000, i)
		}
		return fmt.Sprintf(`{"last_processed_id": "record-%d", "timestamp": %q, "records_processed": %d}`, i, at.Format("2006-01-02T15:04:05.000000"), i*1000)
	}
	broken := []string{"checkpoint_999999000.json", "checkpoint_1000000700.json"}
	for i := range count - 4 {
		second := begin + i
		key := fmt.Sprintf("checkpoint_%d.json", second)
		switch key {
		case broken[0]:
			objects[key] = record(i, time.Unix(int64(second), 0).UTC())[:40]
			continue
		case broken[1]:
			objects[key] = ""
			continue
		}
		objects[key] = record(i, time.Unix(int64(second), 3e8).UTC())
		want = append(want, fmt.Sprintf("record-%d", i))
	}
	newest := begin + count - 5
	// Another save in the newest second and one in an older second: the records tell their order. A
	// third save has no time, and a fourth is a duplicate.
	objects[fmt.Sprintf("again/checkpoint_%d.json", newest)] = record(count, time.Unix(int64(newest), 9e8).UTC())
	want = append(want, fmt.Sprintf("record-%d", count))
	objects["again/checkpoint_1000000100.json"] = record(9000, time.Unix(1_000_000_100, 0).UTC())
	objects["again/checkpoint_1000000200.json"] = `{"last_processed_id": "untimed"}`
	objects["again/checkpoint_1000000300.json"] = objects["checkpoint_1000000300.json"]
	objects["_SUCCESS"] = ""
	putAll(t, s3test.Client(t), bucket, prefix, objects)

	args := []string{"import", "--from", "s3-json", source, "my-job"}
	plan := must(t, env, args...)
	assert.Contains(t, plan, "unreadable: "+broken[0])
	assert.Contains(t, plan, "unreadable: "+broken[1]+": it is empty")
	assert.Contains(t, plan, "tie: the order of again/checkpoint_1000000200.json, checkpoint_1000000200.json is unknown")
	assert.Contains(t, plan, "left out, a repetition: checkpoint_1000000300.json")
	assert.Contains(t, plan, "left out, not named checkpoint_<unix seconds>.json: _SUCCESS")
	assert.Contains(t, plan, "in 2 folders")
	assert.Contains(t, plan, fmt.Sprintf("Would import 2,497 versions of my-job: the newest is at cursor record-%d", count))
	require.Equal(t, 3, milepost(t, env, "get", "my-job").exit(), "a plan changes nothing")

	done := items(t, must(t, env, append(args, "--execute", "--reason", "off home-made files", "-o", "json")...))
	require.Len(t, done, 2)
	assert.Len(t, done[0]["unreadable"], 2)
	assert.Len(t, done[0]["ties"], 1)
	assert.EqualValues(t, 2497, number(t, done[1]["versions"]))

	cp := item(t, must(t, env, "get", "my-job", "-o", "json"))
	assert.Equal(t, fmt.Sprintf("record-%d", count), cp["cursor"], "the newest by content, not by listing order")
	assert.EqualValues(t, count*1000, number(t, cp["processed"]))
	state := cp["state"].(map[string]any)
	assert.Equal(t, "ours", state["team"], "unknown fields are kept")
	assert.Contains(t, must(t, env, "get", "my-job", "--state-to", "-"), `{"sum": 9223372036854775807}`)

	history := items(t, must(t, env, "history", "my-job", "-o", "json"))
	require.Len(t, history, 2497)
	var cursors []string
	for i := range history {
		v := history[len(history)-1-i]
		require.EqualValues(t, i+1, number(t, v["version"]))
		if c := v["cursor"].(string); c != "untimed" && c != "record-9000" {
			cursors = append(cursors, c)
		}
	}
	assert.Equal(t, want, cursors)
	at := item(t, must(t, env, "get", "my-job", "--at", time.Unix(begin+10, 5e8).UTC().Format(time.RFC3339Nano), "-o", "json"))
	assert.Equal(t, "record-10", at["cursor"], "versions have the times of their saves")

	again := must(t, env, append(args, "--execute")...)
	assert.Contains(t, again, "Imported 0 versions of my-job, of which 2,497 are already there")
	assert.EqualValues(t, 2497, number(t, item(t, must(t, env, "get", "my-job", "-o", "json"))["version"]))
}

func TestABrokenNewestHomeMadeCheckpointIsNotSkipped(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	bucket, prefix := s3test.Place(t)
	source := "s3://" + bucket + "/" + prefix
	if endpoint := s3test.Endpoint(t); endpoint != "" {
		source += "?endpoint=" + endpoint
	}
	putAll(t, s3test.Client(t), bucket, prefix, map[string]string{
		"checkpoint_1712484000.json": `{"last_processed_id": "a"}`,
		"checkpoint_1712484001.json": `{"last_processed_id": "b", "error": "x"`,
	})
	r := milepost(t, p.env, "import", "my-job", "--from", "s3-json", source, "--execute") // the name may come first
	assert.Equal(t, 6, r.exit(), r.stderr())
	assert.Contains(t, r.stderr(), "checkpoint_1712484001.json, the newest by its name, cannot be read")
	require.Equal(t, 3, milepost(t, p.env, "get", "my-job").exit())
	must(t, p.env, "import", "my-job", "--from", "s3-json", source, "--skip", "checkpoint_1712484001.json", "--execute")
	assert.Equal(t, "a", item(t, must(t, p.env, "get", "my-job", "-o", "json"))["cursor"])

	empty := milepost(t, p.env, "import", "none", "--from", "s3-json", strings.Replace(source, prefix, prefix+"/nothing", 1))
	assert.Equal(t, 3, empty.exit(), empty.stderr())
}
