package records

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResumeGoesOnWhereTheBatchEnded(t *testing.T) {
	text := numbered(20_000)
	table := append([]byte("id,text\n"), text...)
	for name, test := range map[string]struct {
		stored []byte
		format Format
	}{
		"plain lines": {text, Lines},
		"plain CSV":   {table, CSV},
		"gzip lines":  {gzipped(t, text), Lines},
		"zstd CSV":    {zstded(t, table), CSV},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "in", test.stored)
			for _, verify := range []bool{false, true} {
				for _, done := range []int{1, 17, 4321, 4682, 19_999, 20_000} {
					first, err := Open(path, test.format)
					require.NoError(t, err)
					b, err := first.Next(done)
					require.NoError(t, err)
					first.Close()

					again, err := Open(path, test.format)
					require.NoError(t, err)
					require.NoError(t, again.Resume(t.Context(), b.After, verify))
					rest, err := again.Next(20_000)
					if done == 20_000 {
						require.ErrorIs(t, err, io.EOF)
						again.Close()
						continue
					}
					require.NoError(t, err)
					again.Close()
					assert.Equal(t, int64(done+1), rest.First)
					assert.Equal(t, int64(20_000), rest.Last)
					header := len(table) - len(text)
					if test.format == Lines {
						header = 0
					}
					assert.True(t, bytes.HasSuffix(text, rest.Data[header:]), "the rest from record %d", done+1)

					whole, err := Open(path, test.format)
					require.NoError(t, err)
					all, err := whole.Next(20_000)
					require.NoError(t, err)
					whole.Close()
					assert.Equal(t, all.After.Chain, rest.After.Chain, "the chain goes on")
					assert.Equal(t, all.After.Tail, rest.After.Tail)
				}
			}
		})
	}
}

func TestResumeInAPlainFileReadsLittle(t *testing.T) {
	content := numbered(200_000)
	path := writeFile(t, "in", content)
	first, err := Open(path, Lines)
	require.NoError(t, err)
	b, err := first.Next(199_000)
	require.NoError(t, err)
	first.Close()

	// What is between the first 64 KiB and the last 64 KiB before the cursor is not read.
	hole := bytes.Clone(content)
	copy(hole[512<<10:b.After.Offset-window-1], bytes.Repeat([]byte{'\n'}, len(content)))
	require.NoError(t, os.WriteFile(path, hole, 0o600))
	again, err := Open(path, Lines)
	require.NoError(t, err)
	require.NoError(t, again.Resume(t.Context(), b.After, false))
	again.Close()

	again, err = Open(path, Lines)
	require.NoError(t, err)
	defer again.Close()
	assert.ErrorContains(t, again.Resume(t.Context(), b.After, true), "something before that byte has changed")
}

func TestAnotherInputIsRefusedAndTheErrorNamesBoth(t *testing.T) {
	content := numbered(20_000)
	path := writeFile(t, "first.txt", content)
	first, err := Open(path, Lines)
	require.NoError(t, err)
	b, err := first.Next(15_000)
	require.NoError(t, err)
	first.Close()

	change := func(at int64) []byte {
		changed := bytes.Clone(content)
		changed[at] ^= 1
		return changed
	}
	for name, test := range map[string]struct {
		stored []byte
		want   string
	}{
		"too short":           {content[:1000], "it ends before that byte"},
		"too short, zstd":     {zstded(t, content[:1000]), "it ends at byte 1,000"},
		"empty":               {nil, "it ends before that byte"},
		"another beginning":   {change(5), "the sha256 of its first 65,536 bytes is"},
		"another at 64 KiB":   {change(window - 1), "the sha256 of its first 65,536 bytes is"},
		"another before":      {change(b.After.Offset - 1), "before that byte is"},
		"another 64 KiB ago":  {change(b.After.Offset - window), "before that byte is"},
		"another middle, gz":  {gzipped(t, change(100_000)), "something before that byte has changed"},
		"another middle":      {change(100_000), ""}, // not seen without --verify-input
		"another end":         {change(b.After.Offset), ""},
		"grown":               {append(bytes.Clone(content), "more\n"...), ""},
		"compressed meantime": {gzipped(t, content), ""},
	} {
		t.Run(name, func(t *testing.T) {
			second := writeFile(t, "second.txt", test.stored)
			in, err := Open(second, Lines)
			require.NoError(t, err)
			defer in.Close()
			err = in.Resume(t.Context(), b.After, false)
			if test.want == "" {
				require.NoError(t, err)
				rest, err := in.Next(1)
				require.NoError(t, err)
				assert.Equal(t, int64(15_001), rest.First)
				return
			}
			var other *OtherInputError
			require.ErrorAs(t, err, &other)
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, second)
			assert.ErrorContains(t, err, path)
		})
	}
}

func TestAFileSmallerThanTheWindowMayGrow(t *testing.T) {
	path := writeFile(t, "in", []byte("a\nb\n"))
	got, last := readAll(t, path, Lines, 10)
	require.Equal(t, []string{"a\nb\n"}, got)
	require.NoError(t, os.WriteFile(path, append([]byte("a\nb\n"), numbered(50_000)...), 0o600))

	in, err := Open(path, Lines)
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, in.Resume(t.Context(), last, false))
	b, err := in.Next(1)
	require.NoError(t, err)
	assert.Equal(t, "record 1\n", string(b.Data))
	assert.Equal(t, int64(3), b.First)
}

func TestALastRecordWithoutLineEndMayOnlyGetItsLineEnd(t *testing.T) {
	path := writeFile(t, "in", []byte("a\nb"))
	_, last := readAll(t, path, Lines, 10)
	require.True(t, last.Open)
	for name, test := range map[string]struct {
		content string
		want    string // the next batch
		refused bool
	}{
		"unchanged":       {content: "a\nb"},
		"line end":        {content: "a\nb\n"},
		"and more":        {content: "a\nb\nc\n", want: "c\n"},
		"and more, CR":    {content: "a\nb\r\nc\r\n", want: "c\r\n"},
		"it went on":      {content: "a\nbc\n", refused: true},
		"a lone CR added": {content: "a\nb\rc\n", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := Open(writeFile(t, "in", []byte(test.content)), Lines)
			require.NoError(t, err)
			defer in.Close()
			err = in.Resume(t.Context(), last, false)
			if test.refused {
				var other *OtherInputError
				require.ErrorAs(t, err, &other)
				assert.ErrorContains(t, err, "had no line end when it was processed")
				return
			}
			require.NoError(t, err)
			b, err := in.Next(10)
			if test.want == "" {
				assert.ErrorIs(t, err, io.EOF)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, string(b.Data))
			assert.Equal(t, int64(3), b.First)
		})
	}
}

func TestSkipCountsRecordsFromTheStart(t *testing.T) {
	path := writeFile(t, "in", numbered(3000))
	in, err := Open(path, Lines)
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, in.Skip(t.Context(), 2500))
	b, err := in.Next(1)
	require.NoError(t, err)
	assert.Equal(t, "record 2501\n", string(b.Data))
	assert.ErrorIs(t, in.Skip(t.Context(), 9999), io.EOF)
}

func TestNoBytesOfTheInputAreKeptInTheCheckpoint(t *testing.T) {
	_, last := readAll(t, writeFile(t, "in", bytes.Repeat([]byte("secret\n"), 20_001)), Lines, 1000)
	state, err := json.Marshal(last)
	require.NoError(t, err)
	assert.Less(t, len(state), 500)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(state, &fields))
	for _, hash := range []string{last.Head, last.Tail, last.Chain} {
		assert.Len(t, hash, 64)
	}
	assert.Len(t, fields, 7, "a field that was added must not hold the input's bytes either")
}
