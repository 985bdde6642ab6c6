package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLinesAreBatchedByteForByte(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    []string // batches of two
	}{
		"empty":               {"", nil},
		"one line":            {"a\n", []string{"a\n"}},
		"no trailing newline": {"a\nb\nc", []string{"a\nb\n", "c"}},
		"empty lines count":   {"\n\nx\n", []string{"\n\n", "x\n"}},
		"carriage returns":    {"a\r\nb\r\nc\r\n", []string{"a\r\nb\r\n", "c\r\n"}},
		"a NUL byte":          {"a\x00b\nc\n", []string{"a\x00b\nc\n"}},
		"invalid UTF-8":       {"\xff\n\xc3\x28\n", []string{"\xff\n\xc3\x28\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, last := readAll(t, writeFile(t, "in", []byte(test.content)), lines, 2)
			assert.Equal(t, test.want, got)
			assert.Equal(t, int64(len(test.content)), last.Offset)
		})
	}
}

func TestCSVRecordsKeepQuotedNewlinesTogetherUnderTheHeader(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    []string // batches of one
	}{
		"empty":                {"", nil},
		"header only":          {"a,b\n", nil},
		"header, no newline":   {"a,b", nil},
		"plain":                {"a,b\n1,2\n3,4\n", []string{"a,b\n1,2\n", "a,b\n3,4\n"}},
		"quoted newline":       {"a,b\n\"1\n\n1\",2\n3,4", []string{"a,b\n\"1\n\n1\",2\n", "a,b\n3,4"}},
		"escaped quotes":       {"a\n\"say \"\"hi\nyou\"\"\"\nx\n", []string{"a\n\"say \"\"hi\nyou\"\"\"\n", "a\nx\n"}},
		"empty quotes":         {"a,b\n\"\",\"\"\n1,2\n", []string{"a,b\n\"\",\"\"\n", "a,b\n1,2\n"}},
		"quote inside a field": {"a,b\n5\" pipe,1\n6\" pipe,2\n", []string{"a,b\n5\" pipe,1\n", "a,b\n6\" pipe,2\n"}},
		"semicolons":           {"a;b\n1;\"x\ny\"\n2;z\n", []string{"a;b\n1;\"x\ny\"\n", "a;b\n2;z\n"}},
		"tabs":                 {"a\tb\n\"x\ny\"\t1\n", []string{"a\tb\n\"x\ny\"\t1\n"}},
		"quoted header":        {"\"a\nb\",c\n1,2\n", []string{"\"a\nb\",c\n1,2\n"}},
		"carriage returns":     {"a,b\r\n\"1\r\n\",2\r\n3,4\r\n", []string{"a,b\r\n\"1\r\n\",2\r\n", "a,b\r\n3,4\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, last := readAll(t, writeFile(t, "in.csv", []byte(test.content)), csv, 1)
			assert.Equal(t, test.want, got)
			if test.want != nil {
				assert.Equal(t, int64(len(test.content)), last.Offset)
			}
		})
	}
}

func TestAQuoteThatNeverClosesIsAnErrorThatSaysWhere(t *testing.T) {
	in, err := openInput(writeFile(t, "in.csv", []byte("a,b\n1,2\n\"3,4\n5,6\n")), csv)
	require.NoError(t, err)
	defer in.close()
	_, err = in.next(1)
	require.NoError(t, err)
	_, err = in.next(1)
	assert.ErrorContains(t, err, "record 2, which begins at byte 8: it ends inside a quoted field")
}

func TestCompressedContentReadsLikePlainWhateverItsName(t *testing.T) {
	content := numbered(5000)
	want, wantLast := readAll(t, writeFile(t, "plain", content), lines, 700)
	for name, compressed := range map[string][]byte{
		"gzip":                gzipped(t, content),
		"gzip in two members": append(gzipped(t, content[:9]), gzipped(t, content[9:])...),
		"zstd":                zstded(t, content),
		"zstd in two frames":  append(zstded(t, content[:9]), zstded(t, content[9:])...),
		"zstd, padded":        append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00xx"), zstded(t, content)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, last := readAll(t, writeFile(t, "any-name", compressed), lines, 700)
			assert.Equal(t, want, got)
			assert.Equal(t, wantLast.Offset, last.Offset)
			assert.Equal(t, wantLast.Chain, last.Chain)
		})
	}
}

func TestDamagedCompressionIsAnErrorAfterTheWholeRecords(t *testing.T) {
	content := numbered(50_000)
	flipped := gzipped(t, content)
	flipped[len(flipped)-5] ^= 0xff // in the checksum
	for name, test := range map[string]struct {
		stored []byte
		want   error
	}{
		"truncated gzip": {gzipped(t, content)[:2000], io.ErrUnexpectedEOF},
		"gzip checksum":  {flipped, gzip.ErrChecksum},
		"truncated zstd": {zstded(t, content)[:2000], io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := openInput(writeFile(t, "in", test.stored), lines)
			require.NoError(t, err)
			defer in.close()
			for err == nil {
				_, err = in.next(10)
			}
			assert.ErrorIs(t, err, test.want)
			assert.ErrorContains(t, err, "read input")
			assert.ErrorContains(t, err, fmt.Sprintf("record %d", in.at.Records+1))
		})
	}
}

func TestWhatIsNoFileOfRecordsIsRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct {
		path, want string
	}{
		"missing":     {filepath.Join(t.TempDir(), "none"), "no such file"},
		"a directory": {t.TempDir(), "is a directory"},
		"gzip magic":  {writeFile(t, "in", []byte("\x1f\x8bnonsense")), "begins like gzip and is not"},
		"xz":          {writeFile(t, "in", []byte("\xfd7zXZ\x00..")), "is an xz file"},
		"zip":         {writeFile(t, "in", []byte("PK\x03\x04....")), "is a zip file"},
		"parquet":     {writeFile(t, "in", []byte("PAR1....")), "is a Parquet file"},
		"bzip2":       {writeFile(t, "in", []byte("BZh91AY&SY")), "is a bzip2 file"},
		"UTF-16":      {writeFile(t, "in", []byte("\xff\xfea\x00")), "UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openInput(test.path, lines)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestALineOf100MBIsOneRecord(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 100<<20)
	in, err := openInput(writeFile(t, "in", append(content, "\nend\n"...)), lines)
	require.NoError(t, err)
	defer in.close()
	b, err := in.next(1)
	require.NoError(t, err)
	assert.Len(t, b.data, 100<<20+1)
	assert.False(t, b.final)
	b, err = in.next(1)
	require.NoError(t, err)
	assert.Equal(t, "end\n", string(b.data))
	assert.True(t, b.final)
}

func TestResumeGoesOnWhereTheBatchEnded(t *testing.T) {
	text := numbered(20_000)
	table := append([]byte("id,text\n"), text...)
	for name, test := range map[string]struct {
		stored []byte
		format string
	}{
		"plain lines": {text, lines},
		"plain CSV":   {table, csv},
		"gzip lines":  {gzipped(t, text), lines},
		"zstd CSV":    {zstded(t, table), csv},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "in", test.stored)
			for _, verify := range []bool{false, true} {
				for _, done := range []int{1, 17, 4321, 4682, 19_999, 20_000} {
					first, err := openInput(path, test.format)
					require.NoError(t, err)
					b, err := first.next(done)
					require.NoError(t, err)
					first.close()

					again, err := openInput(path, test.format)
					require.NoError(t, err)
					require.NoError(t, again.resume(t.Context(), b.after, verify))
					rest, err := again.next(20_000)
					if done == 20_000 {
						require.ErrorIs(t, err, io.EOF)
						again.close()
						continue
					}
					require.NoError(t, err)
					again.close()
					assert.Equal(t, int64(done+1), rest.first)
					assert.Equal(t, int64(20_000), rest.last)
					header := len(table) - len(text)
					if test.format == lines {
						header = 0
					}
					assert.True(t, bytes.HasSuffix(text, rest.data[header:]), "the rest from record %d", done+1)

					whole, err := openInput(path, test.format)
					require.NoError(t, err)
					all, err := whole.next(20_000)
					require.NoError(t, err)
					whole.close()
					assert.Equal(t, all.after.Chain, rest.after.Chain, "the chain goes on")
					assert.Equal(t, all.after.Tail, rest.after.Tail)
				}
			}
		})
	}
}

func TestResumeInAPlainFileReadsLittle(t *testing.T) {
	content := numbered(200_000)
	path := writeFile(t, "in", content)
	first, err := openInput(path, lines)
	require.NoError(t, err)
	b, err := first.next(199_000)
	require.NoError(t, err)
	first.close()

	// Between the first 64 KiB and the last ones before the cursor, anything may
	// stand: it is not read.
	hole := bytes.Clone(content)
	copy(hole[512<<10:b.after.Offset-window-1], bytes.Repeat([]byte{'\n'}, len(content)))
	require.NoError(t, os.WriteFile(path, hole, 0o600))
	again, err := openInput(path, lines)
	require.NoError(t, err)
	require.NoError(t, again.resume(t.Context(), b.after, false))
	again.close()

	again, err = openInput(path, lines)
	require.NoError(t, err)
	defer again.close()
	assert.ErrorContains(t, again.resume(t.Context(), b.after, true), "something before that byte has changed")
}

func TestAnotherInputIsRefusedNamingBoth(t *testing.T) {
	content := numbered(20_000)
	path := writeFile(t, "first.txt", content)
	first, err := openInput(path, lines)
	require.NoError(t, err)
	b, err := first.next(15_000)
	require.NoError(t, err)
	first.close()

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
		"another before":      {change(b.after.Offset - 1), "before that byte is"},
		"another 64 KiB ago":  {change(b.after.Offset - window), "before that byte is"},
		"another middle, gz":  {gzipped(t, change(100_000)), "something before that byte has changed"},
		"another middle":      {change(100_000), ""}, // not seen without --verify-input
		"another end":         {change(b.after.Offset), ""},
		"grown":               {append(bytes.Clone(content), "more\n"...), ""},
		"compressed meantime": {gzipped(t, content), ""},
	} {
		t.Run(name, func(t *testing.T) {
			second := writeFile(t, "second.txt", test.stored)
			in, err := openInput(second, lines)
			require.NoError(t, err)
			defer in.close()
			err = in.resume(t.Context(), b.after, false)
			if test.want == "" {
				require.NoError(t, err)
				rest, err := in.next(1)
				require.NoError(t, err)
				assert.Equal(t, int64(15_001), rest.first)
				return
			}
			var other *otherInputError
			require.ErrorAs(t, err, &other)
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, second)
			assert.ErrorContains(t, err, path)
		})
	}
}

func TestAFileSmallerThanTheWindowMayGrow(t *testing.T) {
	path := writeFile(t, "in", []byte("a\nb\n"))
	got, last := readAll(t, path, lines, 10)
	require.Equal(t, []string{"a\nb\n"}, got)
	require.NoError(t, os.WriteFile(path, append([]byte("a\nb\n"), numbered(50_000)...), 0o600))

	in, err := openInput(path, lines)
	require.NoError(t, err)
	defer in.close()
	require.NoError(t, in.resume(t.Context(), last, false))
	b, err := in.next(1)
	require.NoError(t, err)
	assert.Equal(t, "record 1\n", string(b.data))
	assert.Equal(t, int64(3), b.first)
}

func TestALastRecordWithoutLineEndMayOnlyGetItsLineEnd(t *testing.T) {
	path := writeFile(t, "in", []byte("a\nb"))
	_, last := readAll(t, path, lines, 10)
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
			in, err := openInput(writeFile(t, "in", []byte(test.content)), lines)
			require.NoError(t, err)
			defer in.close()
			err = in.resume(t.Context(), last, false)
			if test.refused {
				var other *otherInputError
				require.ErrorAs(t, err, &other)
				assert.ErrorContains(t, err, "had no line end when it was processed")
				return
			}
			require.NoError(t, err)
			b, err := in.next(10)
			if test.want == "" {
				assert.ErrorIs(t, err, io.EOF)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, string(b.data))
			assert.Equal(t, int64(3), b.first)
		})
	}
}

func TestSkipCountsRecordsFromTheStart(t *testing.T) {
	path := writeFile(t, "in", numbered(3000))
	in, err := openInput(path, lines)
	require.NoError(t, err)
	defer in.close()
	require.NoError(t, in.skip(t.Context(), 2500))
	b, err := in.next(1)
	require.NoError(t, err)
	assert.Equal(t, "record 2501\n", string(b.data))
	assert.ErrorIs(t, in.skip(t.Context(), 9999), io.EOF)
}

func TestNoBytesOfTheInputAreKeptInTheCheckpoint(t *testing.T) {
	_, last := readAll(t, writeFile(t, "in", bytes.Repeat([]byte("secret\n"), 20_001)), lines, 1000)
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

func FuzzBatchesOfAnySizeHoldTheWholeInput(f *testing.F) {
	f.Add([]byte("a,b\n\"1\n\",2\n"), uint8(0))
	f.Add([]byte("a\nb\n\nc"), uint8(1))
	f.Add([]byte("a;b\n\"\"\"\n\";x\r\n1;2"), uint8(2))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte, size uint8) {
		every := int(size) + 1
		path := filepath.Join(dir, "in")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		for _, format := range []string{lines, csv} {
			in, err := openInput(path, format)
			if err != nil {
				continue // refused: compressed, or a quote that never closes
			}
			joined := bytes.Clone(in.header)
			var last position
			var records int64
			for {
				b, err := in.next(every)
				if err != nil {
					if errors.Is(err, io.EOF) {
						require.Equal(t, string(content), string(joined))
					}
					break
				}
				require.Equal(t, records+1, b.first)
				require.GreaterOrEqual(t, b.last, b.first)
				require.True(t, bytes.HasPrefix(b.data, in.header))
				records, last = b.last, b.after
				joined = append(joined, b.data[len(in.header):]...)
				require.Equal(t, int64(len(joined)), b.after.Offset)

				again, err := openInput(path, format)
				require.NoError(t, err)
				require.NoError(t, again.resume(t.Context(), b.after, every%2 == 0))
				again.close()
			}
			require.Equal(t, records, last.Records)
			in.close()
		}
	})
}

// readAll returns an input's batches and the last position.
func readAll(t *testing.T, path, format string, every int) (batches []string, last position) {
	t.Helper()
	in, err := openInput(path, format)
	require.NoError(t, err)
	defer in.close()
	for {
		b, err := in.next(every)
		if errors.Is(err, io.EOF) {
			return batches, last
		}
		require.NoError(t, err)
		require.Equal(t, last.Records+1, b.first)
		batches, last = append(batches, string(b.data)), b.after
	}
}

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func numbered(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "record %d\n", i+1)
	}
	return []byte(b.String())
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstded(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}
