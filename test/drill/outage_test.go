//go:build linux

package drill_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
	"github.com/milepost-dev/milepost/test/s3test"
)

var milepost string // the command's path

func TestMain(m *testing.M) {
	defer os.Exit(1) // if a test ends the process
	dir, err := os.MkdirTemp("", "milepost-drill-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	milepost = filepath.Join(dir, "milepost")
	build := exec.Command("go", "build", "-o", milepost, "github.com/milepost-dev/milepost/cmd/milepost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build milepost: %v: %s\n", err, out)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(exit int) {
		_ = os.RemoveAll(dir)
		os.Exit(exit)
	}))
}

// eventually is the longest wait for anything, on a busy machine.
const eventually = 60 * time.Second

// outage is a table and a bucket in which things go wrong.
type outage struct {
	t            *testing.T
	table        string
	bucket       string
	prefix       string // in it
	env          []string
	bucketFaults *faulthttp.Transport
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{t: t, table: dynamotest.Table(t), bucketFaults: faulthttp.New(nil)}
	o.bucket, o.prefix = s3test.Place(t)
	o.createTable()
	o.name(faulthttp.Proxy(t, s3test.Endpoint(t), o.bucketFaults))
	return o
}

func (o *outage) createTable() {
	o.t.Helper()
	require.NoError(o.t, dynamostore.CreateTable(o.t.Context(), dynamotest.Client(o.t), o.table, &dynamostore.CreateOptions{NoDeletionProtection: true}))
}

// name tells the commands the table and the archive.
func (o *outage) name(bucketEndpoint string) {
	o.env = append(append(os.Environ(), dynamotest.Env(o.t)...), s3test.Env(o.t)...)
	o.env = append(o.env,
		"MILEPOST_STORE=dynamodb://"+o.table+"?endpoint="+dynamotest.Endpoint(o.t),
		"MILEPOST_ARCHIVE=s3://"+o.bucket+"/"+o.prefix+"?endpoint="+bucketEndpoint)
}

// withCopyOfTheArchive returns an outage with a copy of the archive, as by aws s3 sync, and a table
// that does not exist yet.
func (o *outage) withCopyOfTheArchive() *outage {
	o.t.Helper()
	client := s3test.Client(o.t)
	c := &outage{t: o.t, table: dynamotest.Table(o.t)}
	c.bucket, c.prefix = s3test.Place(o.t)
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: aws.String(o.prefix + "/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(o.t.Context())
		require.NoError(o.t, err)
		for _, object := range page.Contents {
			key := c.prefix + strings.TrimPrefix(*object.Key, o.prefix)
			_, err := client.CopyObject(o.t.Context(), &s3.CopyObjectInput{Bucket: &c.bucket, Key: &key, CopySource: aws.String(o.bucket + "/" + *object.Key)})
			require.NoError(o.t, err)
		}
	}
	c.name(s3test.Endpoint(o.t))
	return c
}

// items returns the items of the table, as a backup has them.
func (o *outage) items() []map[string]types.AttributeValue {
	o.t.Helper()
	all, err := dynamotest.Client(o.t).Scan(o.t.Context(), &dynamodb.ScanInput{TableName: &o.table})
	require.NoError(o.t, err)
	require.Empty(o.t, all.LastEvaluatedKey)
	return all.Items
}

// withTableOf returns an outage with a table of another name, restored from a backup, and the same
// archive.
func (o *outage) withTableOf(items []map[string]types.AttributeValue) *outage {
	o.t.Helper()
	r := &outage{t: o.t, table: dynamotest.Table(o.t), bucket: o.bucket, prefix: o.prefix}
	r.createTable()
	for _, item := range items {
		_, err := dynamotest.Client(o.t).PutItem(o.t.Context(), &dynamodb.PutItemInput{TableName: &r.table, Item: item})
		require.NoError(o.t, err)
	}
	r.name(s3test.Endpoint(o.t))
	return r
}

// lose deletes the table.
func (o *outage) lose() {
	o.t.Helper()
	client := dynamotest.Client(o.t)
	_, err := client.DeleteTable(o.t.Context(), &dynamodb.DeleteTableInput{TableName: &o.table})
	require.NoError(o.t, err)
	waiter := dynamodb.NewTableNotExistsWaiter(client, func(w *dynamodb.TableNotExistsWaiterOptions) {
		w.MinDelay, w.MaxDelay = 20*time.Millisecond, time.Second
	})
	require.NoError(o.t, waiter.Wait(o.t.Context(), &dynamodb.DescribeTableInput{TableName: &o.table}, time.Minute))
}

func (o *outage) says(what string) { o.t.Logf("--- %s", what) }

// result is the outcome of one command.
type result struct {
	exit int
	said string
}

// run runs a command of the runbook on the checkpoint flights, shows what an operator would see,
// and returns it.
func (o *outage) run(exit int, command string, words ...replaced) string {
	o.t.Helper()
	inRunbook(o.t, command)
	for _, r := range words {
		command = r.in(command)
	}
	command = replaced{"NAME": "flights", "…": "drill"}.in(command)
	r := o.quietly(command)
	o.t.Logf("\n$ %s\n%s", command, r.said)
	require.Equal(o.t, exit, r.exit, "%s", command)
	return r.said
}

// quietly runs a command as a shell would.
func (o *outage) quietly(command string) result {
	o.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(o.env, "PATH="+filepath.Dir(milepost)+":"+os.Getenv("PATH"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = eventually
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), said.String()}
}

// until waits until a condition is true.
func (o *outage) until(what string, so func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(eventually); !so(); time.Sleep(10 * time.Millisecond) {
		require.True(o.t, time.Now().Before(deadline), "waited in vain until %s", what)
	}
}

// job is a batch job of 100 records, ten at a time.
type job struct {
	o                   *outage
	input, ledger, gate string
}

// worker is a batch's command. While there is a gate, worker waits in the gate's batch and in later
// ones. With STOP_AFTER, it fails after that record.
const worker = `cat >> "$LEDGER"
while gate=$(cat "$GATE" 2>/dev/null) && [ "$MILEPOST_FIRST" -ge "$gate" ]; do sleep 0.02; done
[ "$MILEPOST_LAST" -le "$STOP_AFTER" ]`

func (o *outage) newJob() *job {
	o.t.Helper()
	dir := o.t.TempDir()
	j := &job{o, filepath.Join(dir, "input"), filepath.Join(dir, "ledger"), filepath.Join(dir, "gate")}
	var records strings.Builder
	for n := range 100 {
		fmt.Fprintf(&records, "record-%d\n", n+1)
	}
	require.NoError(o.t, os.WriteFile(j.input, []byte(records.String()), 0o600))
	require.NoError(o.t, os.WriteFile(j.ledger, nil, 0o600))
	return j
}

// shut makes the job hang in the batch that begins with that record.
func (j *job) shut(record int) {
	require.NoError(j.o.t, os.WriteFile(j.gate, fmt.Append(nil, record), 0o600))
}

func (j *job) open() { require.NoError(j.o.t, os.Remove(j.gate)) }

// processed returns the number of records that the worker got.
func (j *job) processed() int {
	data, err := os.ReadFile(j.ledger)
	require.NoError(j.o.t, err)
	return bytes.Count(data, []byte("\n"))
}

// start starts a run of the job.
func (j *job) start(flags ...string) *process { return j.startUntil(100, flags...) }

// startUntil starts a run that fails after a record.
func (j *job) startUntil(record int, flags ...string) *process {
	t := j.o.t
	t.Helper()
	args := append([]string{"batch", "flights", j.input, "--every", "10"}, flags...)
	cmd := exec.Command(milepost, append(args, "--", "sh", "-c", worker)...)
	cmd.Env = append(j.o.env, "LEDGER="+j.ledger, "GATE="+j.gate, fmt.Sprintf("STOP_AFTER=%d", record))
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	cmd.WaitDelay = eventually
	t.Logf("\n$ milepost %s -- …   &", strings.Join(args, " "))
	require.NoError(t, cmd.Start())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// process is a run in the background.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) stop() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP)) }
func (p *process) wake() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGCONT)) }

// exit waits for the end, shows what the run said, and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * eventually):
		require.Fail(p.t, "it does not end", p.said())
	}
	p.t.Logf("\n%s[exit %d]", p.said(), p.cmd.ProcessState.ExitCode())
	return p.cmd.ProcessState.ExitCode()
}
