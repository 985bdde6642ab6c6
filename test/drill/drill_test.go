//go:build linux

// Package drill_test handles staged outages with only the commands of the runbook,
// docs/operations.md: a stuck job, a stolen lease, a bucket that is down, a lost table. `go test -v
// ./test/drill` prints what an operator would see.
package drill_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/faulthttp"
)

func TestAStuckJob(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	j.shut(31)
	run := j.start("--lease-duration", "8s")
	o.until("the job hangs in its fourth batch", func() bool { return j.processed() == 40 })

	o.run(0, "milepost expect NAME --every 1d --grace 2h", replaced{"1d": "1s", "2h": "1s"})
	o.until("the checkpoint is overdue", func() bool { return o.quietly("milepost stale").exit == 11 })
	o.says("the alarm: overdue")
	assert.Contains(t, o.run(11, "milepost stale"), "flights")
	assert.Regexp(t, `flights +overdue`, o.run(0, "milepost status"))
	assert.Contains(t, o.run(0, "milepost runs NAME"), "running")
	assert.Regexp(t, `status +held`, o.run(0, "milepost lease show NAME"))

	o.says("the job lives but hangs: its lease is not broken by mistake, only with --now")
	refused := o.run(5, `milepost lease break NAME --reason "…" --execute`)
	assert.Contains(t, refused, "it is alive: its lease was renewed")
	assert.Contains(t, refused, `lease break flights --reason "…" --now --execute`)
	o.run(0, `milepost lease break NAME --reason "…" --now --execute`)
	assert.Equal(t, 7, run.exit(), "the job learned of it and stopped: %s", run.said())

	o.says("the cause is fixed; the job starts again and goes on where it was")
	j.open()
	again := j.start()
	assert.Zero(t, again.exit(), again.said())
	assert.Contains(t, again.said(), "goes on from record 31")
	assert.Contains(t, o.run(0, "milepost runs NAME"), "done")
	o.run(0, "milepost expect NAME --none")
	o.run(0, "milepost stale")
}

func TestAStolenLease(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	j.shut(31)
	paused := j.start("--lease-duration", "8s")
	o.until("it is in its fourth batch", func() bool { return j.processed() == 40 })
	paused.stop()
	j.open()
	second := j.start("--wait", "1m", "--holder", "second")
	assert.Zero(t, second.exit(), second.said())
	o.says("a job that was paused past its lease wakes up")
	paused.wake()
	assert.Equal(t, 7, paused.exit(), paused.said())

	o.says("the alarm: losses")
	assert.Contains(t, o.run(0, "milepost lease show NAME"), "second")
	runs := o.run(0, "milepost runs NAME")
	assert.Contains(t, runs, "died")
	assert.Contains(t, runs, "done")
	assert.Regexp(t, `cursor +100\b`, o.run(0, "milepost get NAME"))
	o.says("nothing needs fixing: the second run has finished, and the first could not save after it")
}

func TestABucketThatIsDown(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	j.shut(31)
	run := j.start()
	o.until("it is in its fourth batch", func() bool { return j.processed() == 40 })
	down := o.bucketFaults.On(faulthttp.Any, faulthttp.Each, faulthttp.LoseRequest())
	o.says("the bucket cannot be reached")
	j.open()
	assert.Zero(t, run.exit(), "the job is not blocked: %s", run.said())
	assert.Contains(t, run.said(), "not all is mirrored")

	o.says("the log says so, and archive lag rises")
	o.run(8, "milepost check")
	assert.Regexp(t, `flights +quiet`, o.run(0, "milepost status"))
	o.says("the bucket is back")
	down.Remove()
	o.run(0, "milepost check")
	assert.Regexp(t, `versions? mirrored now`, o.run(0, "milepost archive sync"))
	o.run(0, "milepost archive verify NAME")
}

func TestATableThatIsGone(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	first := j.startUntil(50)
	assert.Equal(t, 9, first.exit(), first.said())
	o.lose()

	o.says("the table is gone: jobs and operators' commands fail with kind no_table")
	failed := j.start()
	assert.Equal(t, 1, failed.exit(), failed.said())
	assert.Contains(t, o.run(1, "milepost status"), "table create")
	o.run(0, "milepost table create")
	refused := j.start()
	assert.Equal(t, 6, refused.exit(), "the job does not start from zero: %s", refused.said())
	assert.Contains(t, o.run(0, `milepost archive restore --reason "…"`), "Nothing was changed")
	o.run(0, `milepost archive restore --reason "…" --execute`)
	o.run(0, "milepost archive verify")

	o.says("the job starts again")
	again := j.start()
	assert.Zero(t, again.exit(), again.said())
	assert.Contains(t, again.said(), "goes on from record 51")
	assert.Regexp(t, `cursor +100\b`, o.run(0, "milepost get NAME"))
}

func TestTheQuartersDrillOfTheMirror(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	run := j.start()
	assert.Zero(t, run.exit(), run.said())
	jobs := o.run(0, "milepost list")

	drill := o.withCopyOfTheArchive()
	drill.run(0, "milepost table create --no-deletion-protection")
	drill.run(0, `milepost archive restore --reason "…" --execute`)
	drill.run(0, "milepost archive verify")
	restored := drill.run(0, "milepost list")
	for _, said := range []string{jobs, restored} {
		assert.Regexp(t, `flights +1\d +100 +100 `, said)
	}
	o.says("and no job was touched")
	o.run(0, "milepost archive verify")
}

func TestATableThatCameBackFromAPointInTime(t *testing.T) {
	o := newOutage(t)
	j := o.newJob()
	first := j.startUntil(50)
	assert.Equal(t, 9, first.exit(), first.said())
	then := o.items()
	second := j.start()
	assert.Zero(t, second.exit(), second.said())

	restored := o.withTableOf(then)
	o.says("the table is back as it was at record 50; the mirror has the rest")
	assert.Regexp(t, `cursor +50\b`, restored.run(0, "milepost get NAME"))
	restored.run(0, "milepost table create")
	restored.run(0, "milepost check")
	restored.run(0, `milepost archive restore --behind --reason "…" --execute`)
	restored.run(0, "milepost archive verify")
	assert.Regexp(t, `cursor +100\b`, restored.run(0, "milepost get NAME"))
}

func TestEachCommandOfTheRunbookExistsWithItsFlags(t *testing.T) {
	o := &outage{t: t, env: os.Environ()}
	runbook, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	commands := regexp.MustCompile("(?m)^\\$ milepost ([^#\n]+)|`milepost ([^`]+)`").FindAllStringSubmatch(string(runbook), -1)
	require.Greater(t, len(commands), 40)
	for _, c := range commands {
		words := strings.Fields(c[1] + c[2])
		var called []string
		for _, word := range words {
			if word != strings.ToLower(word) || strings.HasPrefix(word, "-") {
				break
			}
			called = append(called, word)
		}
		help := o.quietly("milepost " + strings.Join(called, " ") + " --help")
		require.Zero(t, help.exit, "%s: %s", c[0], help.said)
		require.Contains(t, help.said, "milepost "+called[0], c[0])
		for _, word := range words {
			if flag, is := strings.CutPrefix(word, "--"); is {
				assert.Regexp(t, `--`+regexp.QuoteMeta(flag)+`\b`, help.said, c[0])
			}
		}
	}
}

// inRunbook fails a drill that needs a command missing in the runbook.
func inRunbook(t *testing.T, command string) {
	t.Helper()
	runbook, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	end := `( *$| *#|` + "`" + `)` // of a line in a block, or of code in a sentence
	require.Regexp(t, `(?m)(^\$ |`+"`"+`)`+regexp.QuoteMeta(command)+end, string(runbook), "the runbook has no %q", command)
}

// replaced maps words of a runbook's command to what a drill writes instead.
type replaced map[string]string

func (r replaced) in(command string) string {
	for word, by := range r {
		command = strings.ReplaceAll(command, word, by)
	}
	return command
}
