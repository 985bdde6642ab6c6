package metrics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/internal/cloudwatch"
	"github.com/milepost-dev/milepost/internal/survey"
)

func inVirtualTime(t *testing.T, test func(t *testing.T)) {
	synctest.Test(t, test)
}

func collected(t *testing.T, reader sdk.Reader) *metricdata.ResourceMetrics {
	t.Helper()
	synctest.Wait() // until the last events are counted
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &rm))
	return &rm
}

// sums are the counters, by name and outcome or cause.
func sums(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	for _, scope := range collected(t, reader).ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue
			}
			for _, p := range sum.DataPoints {
				name := m.Name
				for _, by := range []string{string(metrics.AttrOutcome), string(metrics.AttrCause)} {
					for _, a := range p.Attributes.ToSlice() {
						if string(a.Key) == by {
							name += " " + a.Value.AsString()
						}
					}
				}
				got[name] += p.Value
			}
		}
	}
	return got
}

func instruments() []metrics.Instrument {
	return append(slices.Clone(metrics.Jobs), survey.Instruments...)
}

// row is a line of the table in docs/metrics.md.
func row(i metrics.Instrument) string {
	by := []string{"namespace"}
	if !slices.Contains([]string{survey.Heartbeats.Name, survey.Checkpoints.Name, survey.Overdues.Name, survey.Unreadables.Name, survey.Leases.Name}, i.Name) {
		by = append(by, "checkpoint")
	}
	for _, key := range i.By {
		by = append(by, strings.TrimPrefix(string(key), "milepost."))
	}
	inCloudWatch := "–"
	if i.CloudWatch != "" {
		inCloudWatch = "`" + i.CloudWatch + "`"
	}
	return fmt.Sprintf("| `%s` | %s | `%s` | %s | `%s` | %s | %s |", i.Name, inCloudWatch, promName(i), i.Kind, i.Unit, strings.Join(by, ", "), i.Description)
}

// promName is the name by the rules of OpenTelemetry's exporter; the test of Prometheus's text
// holds it to them.
func promName(i metrics.Instrument) string {
	name := strings.ReplaceAll(i.Name, ".", "_")
	switch i.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
		name = strings.Replace(name, "_bytes_bytes", "_bytes", 1)
	case "1":
		name += "_ratio"
		name = strings.Replace(name, "_ratio_ratio", "_ratio", 1)
	case "{record}/s":
		name += "_per_second"
	}
	if i.Kind == metrics.Counter {
		name += "_total"
	}
	return name
}

func TestTheDocumentedTableMatchesTheCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	var documented []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `milepost.") {
			documented = append(documented, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, i := range instruments() {
		want = append(want, row(i))
	}
	assert.Equal(t, strings.Join(want, "\n"), strings.Join(documented, "\n"))
}

func TestAScriptedRunEmitsExactlyTheMetricsOfTheTable(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		s := newScript(t, true, reader)
		s.run()
		s.look(survey.PublishOptions{Options: metrics.Options{Detail: true}, Times: true})
		emitted := map[string]string{}
		for _, scope := range collected(t, reader).ScopeMetrics {
			for _, m := range scope.Metrics {
				emitted[m.Name] = m.Unit
			}
		}
		want := map[string]string{}
		for _, i := range instruments() {
			want[i.Name] = i.Unit
		}
		assert.Equal(t, want, emitted)
	})
}

func TestPrometheusUsesTheNamesOfTheTable(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
		require.NoError(t, err)
		s := newScript(t, true, reader)
		s.run()
		s.look(survey.PublishOptions{Options: metrics.Options{Detail: true}, Times: true})
		families, err := registry.Gather()
		require.NoError(t, err)
		var got, want []string
		for _, f := range families {
			got = append(got, f.GetName())
		}
		for _, i := range instruments() {
			want = append(want, promName(i))
		}
		assert.ElementsMatch(t, want, got)
	})
}

func TestLinesOfEMFFollowItsSchemaAndNameAllOfCloudWatchsMetrics(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/emf.schema.json")
	require.NoError(t, err)
	for _, detail := range []bool{false, true} {
		t.Run(fmt.Sprint("detail=", detail), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var out bytes.Buffer
				lines := cloudwatch.NewLines(&out, instruments(), func(_, _ string) map[string]any { return map[string]any{"Holder": "nightly"} })
				reader := sdk.NewManualReader(sdk.WithTemporalitySelector(lines.Temporality))
				s := newScript(t, detail, reader)
				s.run()
				require.NoError(t, lines.Export(t.Context(), collected(t, reader)))
				assert.NotContains(t, out.String(), "SECRET", "no cursor, state or error text may be in a line")
				seen := map[string]bool{}
				for line := range strings.Lines(out.String()) {
					checkLine(t, schema, line, seen)
				}
				var want []string
				for _, i := range instruments() {
					if i.CloudWatch != "" {
						want = append(want, i.CloudWatch)
					}
				}
				assert.ElementsMatch(t, want, slices.Collect(maps.Keys(seen)))
			})
		})
	}
}

// checkLine validates one line against the schema, and against the specification's rules for the members
// that metrics and dimensions name.
func checkLine(t *testing.T, schema *jsonschema.Schema, line string, seen map[string]bool) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	require.NoError(t, err, line)
	require.NoError(t, schema.Validate(v), line)
	require.Less(t, len(line), 256<<10)
	var o struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	require.NoError(t, json.Unmarshal([]byte(line), &o))
	members := v.(map[string]any)
	for _, d := range o.AWS.CloudWatchMetrics {
		assert.Equal(t, "Milepost", d.Namespace)
		for _, set := range d.Dimensions {
			for _, name := range set {
				assert.Contains(t, []string{"Namespace", "Checkpoint"}, name, "a run id, holder or version must not be a dimension")
				assert.IsType(t, "", members[name])
			}
		}
		for _, m := range d.Metrics {
			seen[m.Name] = true
			switch value := members[m.Name].(type) {
			case json.Number:
			case []any:
				assert.LessOrEqual(t, len(value), 100)
			default:
				t.Errorf("%s is %v", m.Name, value)
			}
		}
	}
}

func TestTheModulesMetricNamesAreInTheTable(t *testing.T) {
	text, err := os.ReadFile("../../terraform/alarms.tf")
	require.NoError(t, err)
	block := regexp.MustCompile(`(?s)metrics = \{(.*?)\n  \}`).FindStringSubmatch(string(text))
	require.NotNil(t, block)
	known := map[string]bool{cloudwatch.Namespace: true, cloudwatch.DimensionNamespace: true}
	for _, i := range instruments() {
		known[i.CloudWatch] = true
	}
	names := regexp.MustCompile(`= "(\w+)"`).FindAllStringSubmatch(block[1], -1)
	require.Greater(t, len(names), 10)
	for _, name := range names {
		assert.True(t, known[name[1]], "%s is not a metric of docs/metrics.md", name[1])
	}
}
