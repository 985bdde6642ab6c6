package records

import (
	"bytes"
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
			got, last := readAll(t, writeFile(t, "in", []byte(test.content)), Lines, 2)
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
			got, last := readAll(t, writeFile(t, "in.csv", []byte(test.content)), CSV, 1)
			assert.Equal(t, test.want, got)
			if test.want != nil {
				assert.Equal(t, int64(len(test.content)), last.Offset)
			}
		})
	}
}

func TestAQuoteThatNeverClosesIsAnErrorThatSaysWhere(t *testing.T) {
	in, err := Open(writeFile(t, "in.csv", []byte("a,b\n1,2\n\"3,4\n5,6\n")), CSV)
	require.NoError(t, err)
	defer in.Close()
	_, err = in.Next(1)
	require.NoError(t, err)
	_, err = in.Next(1)
	assert.ErrorContains(t, err, "record 2, which begins at byte 8: it ends inside a quoted field")
}

func TestCompressedContentReadsLikePlainWhateverItsName(t *testing.T) {
	content := numbered(5000)
	want, wantLast := readAll(t, writeFile(t, "plain", content), Lines, 700)
	for name, compressed := range map[string][]byte{
		"gzip":                gzipped(t, content),
		"gzip in two members": append(gzipped(t, content[:9]), gzipped(t, content[9:])...),
		"zstd":                zstded(t, content),
		"zstd in two frames":  append(zstded(t, content[:9]), zstded(t, content[9:])...),
		"zstd, padded":        append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00xx"), zstded(t, content)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, last := readAll(t, writeFile(t, "any-name", compressed), Lines, 700)
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
			in, err := Open(writeFile(t, "in", test.stored), Lines)
			require.NoError(t, err)
			defer in.Close()
			for err == nil {
				_, err = in.Next(10)
			}
			assert.ErrorIs(t, err, test.want)
			assert.ErrorContains(t, err, "read input")
			assert.ErrorContains(t, err, fmt.Sprintf("record %d", in.at.Records+1))
		})
	}
}

func TestAFileThatHoldsNoRecordsIsRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct {
		path, want string
	}{
		"missing":     {filepath.Join(t.TempDir(), "none"), "no such file"},
		"a directory": {t.TempDir(), "is a directory"},
		"gzip magic":  {writeFile(t, "in", []byte("\x1f\x8bnonsense")), "begins like gzip but is not valid gzip"},
		"xz":          {writeFile(t, "in", []byte("\xfd7zXZ\x00..")), "is an xz file"},
		"zip":         {writeFile(t, "in", []byte("PK\x03\x04....")), "is a zip file"},
		"parquet":     {writeFile(t, "in", []byte("PAR1....")), "is a Parquet file"},
		"bzip2":       {writeFile(t, "in", []byte("BZh91AY&SY")), "is a bzip2 file"},
		"UTF-16":      {writeFile(t, "in", []byte("\xff\xfea\x00")), "UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(test.path, Lines)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestALineOf100MBIsOneRecord(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 100<<20)
	in, err := Open(writeFile(t, "in", append(content, "\nend\n"...)), Lines)
	require.NoError(t, err)
	defer in.Close()
	b, err := in.Next(1)
	require.NoError(t, err)
	assert.Len(t, b.Data, 100<<20+1)
	assert.False(t, b.Final)
	b, err = in.Next(1)
	require.NoError(t, err)
	assert.Equal(t, "end\n", string(b.Data))
	assert.True(t, b.Final)
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
		for _, format := range []Format{Lines, CSV} {
			in, err := Open(path, format)
			if err != nil {
				continue // refused: compressed, or a quote that never closes
			}
			joined := bytes.Clone(in.header)
			var last Position
			var records int64
			for {
				b, err := in.Next(every)
				if err != nil {
					if errors.Is(err, io.EOF) {
						require.Equal(t, string(content), string(joined))
					}
					break
				}
				require.Equal(t, records+1, b.First)
				require.GreaterOrEqual(t, b.Last, b.First)
				require.True(t, bytes.HasPrefix(b.Data, in.header))
				records, last = b.Last, b.After
				joined = append(joined, b.Data[len(in.header):]...)
				require.Equal(t, int64(len(joined)), b.After.Offset)

				again, err := Open(path, format)
				require.NoError(t, err)
				require.NoError(t, again.Resume(t.Context(), b.After, every%2 == 0))
				again.Close()
			}
			require.Equal(t, records, last.Records)
			in.Close()
		}
	})
}

// readAll returns an input's batches and the last position.
func readAll(t *testing.T, path string, format Format, every int) (batches []string, last Position) {
	t.Helper()
	in, err := Open(path, format)
	require.NoError(t, err)
	defer in.Close()
	for {
		b, err := in.Next(every)
		if errors.Is(err, io.EOF) {
			return batches, last
		}
		require.NoError(t, err)
		require.Equal(t, last.Records+1, b.First)
		batches, last = append(batches, string(b.Data)), b.After
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
