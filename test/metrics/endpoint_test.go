package metrics_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/milepost-dev/milepost/internal/cloudwatch"
)

func TestAnEndpointThatHangsOrRefusesCostsAJobNothing(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and says nothing
	require.NoError(t, err)
	defer hangs.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	for name, address := range map[string]string{"hangs": hangs.Addr().String(), "refuses": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			input := filepath.Join(dir, "input")
			require.NoError(t, os.WriteFile(input, []byte(strings.Repeat("record\n", 50)), 0o600))
			env := []string{
				"MILEPOST_STORE=sqlite:" + filepath.Join(dir, "jobs.db"), "AWS_REGION=us-east-1",
				"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_ENDPOINT_URL_CLOUDWATCH=http://" + address,
			}
			must(t, env, "batch", "job", input, "--every", "10", "--metrics", "cloudwatch", "--", "go", "version")
			out, _ := must(t, env, "get", "job", "-o", "json")
			assert.Contains(t, out, `"processed":50`)
		})
	}
}

func TestUnreadLinesBlockNoJob(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer r.Close()
		lines := cloudwatch.NewLines(w, instruments(), nil)
		reader := sdk.NewManualReader(sdk.WithTemporalitySelector(lines.Temporality))
		s := newScript(t, false, reader)
		job := s.open()
		require.NoError(t, s.save(job))
		for range 2 { // the second one finds the first one's write still hanging
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			assert.ErrorIs(t, lines.Export(ctx, collected(t, reader)), context.DeadlineExceeded)
			require.NoError(t, s.save(job))
			cancel()
		}
	})
}
