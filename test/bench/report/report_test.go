package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const document = "../../../docs/benchmarks.md"

func TestTheDocumentIsMadeOfTheOutputThatItShows(t *testing.T) {
	written, err := os.ReadFile(document)
	require.NoError(t, err)
	_, output, ok := strings.Cut(string(written), "```text\n")
	require.True(t, ok)
	output, _, ok = strings.Cut(output, "```\n")
	require.True(t, ok)
	again, err := render(output)
	require.NoError(t, err)
	assert.Equal(t, string(again), string(written), "write it with make bench, or with this program given the document itself")
}

func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	path := t.TempDir() + "/benchmarks.md"
	for _, printed := range []string{
		"BenchmarkMark-2 \t 100 \t 16.5 ns/op\n--- FAIL: BenchmarkOpen\nFAIL\n",
		"FAIL\tgithub.com/milepost-dev/milepost/lease [build failed]\n",
		"BenchmarkMark-2 \t 100 \t 16.5 ns/op\nPASS\n", // the others are missing
		"",
	} {
		require.Error(t, write(path, "", strings.NewReader(printed)), printed)
		assert.NoFileExists(t, path)
	}
}

func TestOutputIsReadAsItIsPrinted(t *testing.T) {
	output, err := keep("with other work", strings.NewReader(strings.Join([]string{
		"goos: linux", "goarch: amd64", "pkg: example.com/a/checkpoint", "cpu: Some Processor",
		"BenchmarkMark-2         \t141624204\t        16.52 ns/op\t       0 B/op\t       0 allocs/op",
		"PASS", "ok  \texample.com/a/checkpoint\t3.1s", "?   \texample.com/a/cmd\t[no test files]",
		"goos: linux", "goarch: amd64", "pkg: example.com/a/test/bench",
		"BenchmarkOpen/versions=10-2 \t 166 \t 1921 p50-µs",
		"BenchmarkSave/near/back-to-back \t 166 \t 2.5 x",
	}, "\n")))
	require.NoError(t, err)
	assert.NotContains(t, output, "ok ")
	assert.Equal(t, 1, strings.Count(output, "goos:"))

	r := parse(output)
	for _, want := range []struct {
		benchmark, unit string
		value           float64
	}{
		{"checkpoint.Mark", "ns/op", 16.52},
		{"checkpoint.Mark", "allocs/op", 0},
		{"bench.Open/versions=10", "p50-µs", 1921},
		{"bench.Save/near/back-to-back", "x", 2.5},
	} {
		got, err := r.value(want.benchmark, want.unit)
		require.NoError(t, err)
		assert.InDelta(t, want.value, got, 0, want.benchmark)
	}
	cpu, err := r.setting("cpu")
	require.NoError(t, err)
	assert.Equal(t, "Some Processor", cpu)
	note, err := r.setting("note")
	require.NoError(t, err)
	assert.Equal(t, "with other work", note)

	cells, err := r.atMost(2.4, "bench.Save/near/back-to-back", "x", "%.2f")
	require.NoError(t, err)
	assert.Equal(t, "≤ 2.4 | **2.50, missed**", cells)
	cells, err = r.atMost(50, "checkpoint.Mark", "ns/op", "%.0f")
	require.NoError(t, err)
	assert.Equal(t, "≤ 50 | 17", cells)
}
