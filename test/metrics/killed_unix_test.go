//go:build unix

package metrics_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overdueAfter is the expectation for the test's job.
const overdueAfter = 2 * time.Second

func TestAKilledJobIsOverdueInCloudWatchAndInPrometheusUntilItIsResumed(t *testing.T) {
	cloudwatch := moto(t)
	dir := t.TempDir()
	env := []string{
		"MILEPOST_STORE=sqlite:" + filepath.Join(dir, "jobs.db"),
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_CLOUDWATCH=" + cloudwatch,
	}
	must(t, env, "expect", "job", "--every", overdueAfter.String())
	start := func() (kill func()) {
		job := command(t, env, "run", "job", "--", "sh", "-c",
			`n=${MILEPOST_CURSOR:-0}; while :; do n=$((n + 1)); "$0" save --cursor $n --processed 1; sleep 0.2; done`, mustBuild(t))
		require.NoError(t, job.Start())
		return func() {
			_ = job.Process.Signal(syscall.SIGKILL)
			_ = job.Wait()
		}
	}
	kill := start()
	t.Cleanup(func() { kill() })
	watch := command(t, env, "monitor", "--every", "200ms", "--metrics", "cloudwatch", "--metrics-level", "detail")
	require.NoError(t, watch.Start())
	scraped := scrapable(t, env)

	overdue := func() (inCloudWatch, age, inPrometheus, saved float64) {
		inCloudWatch, age = last(t, cloudwatch, "OverdueCheckpoints"), last(t, cloudwatch, "SaveAge")
		return inCloudWatch, age, sample(t, scraped, "milepost_checkpoints_overdue"), sample(t, scraped, "milepost_save_time_seconds")
	}
	running := func(c *assert.CollectT) {
		inCloudWatch, age, inPrometheus, saved := overdue()
		assert.Zero(c, inCloudWatch)
		assert.Zero(c, inPrometheus)
		assert.Less(c, age, overdueAfter.Seconds())
		assert.InDelta(c, time.Now().Unix(), saved, overdueAfter.Seconds())
	}
	require.EventuallyWithT(t, running, 2*time.Minute, 200*time.Millisecond, "it runs")
	kill()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		inCloudWatch, age, inPrometheus, saved := overdue()
		assert.Equal(c, 1.0, inCloudWatch)
		assert.Equal(c, 1.0, inPrometheus)
		assert.Greater(c, age, overdueAfter.Seconds())
		assert.Greater(c, float64(time.Now().Unix())-saved, overdueAfter.Seconds())
	}, 2*time.Minute, 200*time.Millisecond, "the job is dead")
	kill = start()
	require.EventuallyWithT(t, running, 2*time.Minute, 200*time.Millisecond, "the job was resumed")
}

func mustBuild(t *testing.T) string {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	return path
}

// scrapable starts a monitor that can be scraped, and returns where.
func scrapable(t *testing.T, env []string) string {
	t.Helper()
	watch := command(t, env, "monitor", "--every", "200ms", "--metrics", "prometheus:127.0.0.1:0", "--metrics-level", "detail")
	stderr, err := watch.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, watch.Start())
	line, err := bufio.NewReader(stderr).ReadString('\n')
	require.NoError(t, err)
	url := regexp.MustCompile(`http://\S+`).FindString(line)
	require.NotEmpty(t, url, line)
	return url
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// sample returns a metric's value in Prometheus's text; -1: the text does not have it.
func sample(t *testing.T, url, name string) float64 {
	t.Helper()
	for line := range strings.Lines(get(t, url)) {
		if strings.HasPrefix(line, name+"{") {
			fields := strings.Fields(line)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			require.NoError(t, err, line)
			return v
		}
	}
	return -1
}

// last returns the last value of a metric that the server received; -1: none yet.
func last(t *testing.T, url, name string) float64 {
	t.Helper()
	var all struct {
		CloudWatch struct {
			MetricDatum []struct {
				Name, Namespace string
				Value           float64
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, fmt.Sprintf("%s/moto-api/data.json", url))), &all))
	v := -1.0
	for _, d := range all.CloudWatch.MetricDatum {
		if d.Name == name {
			assert.Equal(t, "Milepost", d.Namespace)
			v = d.Value
		}
	}
	return v
}
