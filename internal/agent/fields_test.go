package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parsed is a mark as onMark takes it from a line.
func parsed(line string) (mark, error) {
	var f fields
	if err := f.scan([]byte(line)); err != nil {
		return mark{}, err
	}
	m := takeMark(&f)
	return m, f.end()
}

func TestAMarkIsReadExactly(t *testing.T) {
	m, err := parsed("\t{ \"cursor\" : \"a\\u00e9\\ud83d\\ude00\\\"\\/é\" ,\"processed\":9223372036854775807,\"failed\":0,\"state\": {\"a\" : [1.0, \"}\\\"\"]} } \r")
	require.NoError(t, err)
	assert.Equal(t, "aé😀\"/é", m.cursor)
	assert.EqualValues(t, 9223372036854775807, m.processed)
	assert.Equal(t, `{"a" : [1.0, "}\""]}`, string(m.state))

	m, err = parsed(`{"c\u0075rsor":"x","state":null}`)
	require.NoError(t, err)
	assert.Equal(t, "x", m.cursor)
	assert.Equal(t, "null", string(m.state))

	m, err = parsed(`{}`)
	require.NoError(t, err)
	assert.Nil(t, m.state)
	assert.False(t, m.hasCursor)
}

func TestALineThatIsNotARequestIsRefusedWithAReason(t *testing.T) {
	many := strings.Builder{}
	for i := range maxFields + 1 {
		many.WriteString(`"f` + strings.Repeat("x", i) + `":1,`)
	}
	for line, says := range map[string]string{
		`[]`:                                   "a JSON object is wanted at byte 0",
		`{`:                                    "the line ends where a string is wanted",
		`{"cursor"}`:                           "a colon is wanted",
		`{"cursor":}`:                          "a value is wanted",
		`{"cursor":"x"`:                        "a comma, or the object's end",
		`{"cursor":"x",}`:                      "a string is wanted",
		`{"cursor":"x"} x`:                     "the line's end is wanted",
		`{"cursor":"x`:                         "the string's end",
		`{"cursor":"x\`:                        "the string's end",
		`{"cursor":"` + "\x01" + `"}`:          "a character that JSON allows",
		"{\"cursor\":\"\xff\"}":                "not valid UTF-8",
		`{"cursor":"\x"}`:                      "invalid character",
		`{"cursor":"\u12"}`:                    "invalid character",
		`{"cursor":"\ud800"}`:                  "half a surrogate pair",
		`{"cursor":"\udc00\ud800"}`:            "half a surrogate pair",
		`{"cursor":"\ud800\ud800"}`:            "half a surrogate pair",
		`{"cursor":"\ud800x\udc00"}`:           "half a surrogate pair",
		`{"cursor":"x","cursor":"x"}`:          `"cursor" is given twice`,
		`{"cursor":null}`:                      "a string is wanted",
		`{"Cursor":"x"}`:                       `unknown field "Cursor"`,
		`{"processed":"1"}`:                    "an integer from 0",
		`{"processed":01}`:                     "an integer from 0",
		`{"processed":-0}`:                     "an integer from 0",
		`{"processed":1e2}`:                    "an integer from 0",
		`{"processed":9223372036854775808}`:    "an integer from 0",
		`{"processed":99999999999999999999}`:   "an integer from 0",
		`{"state":{"a":1}`:                     "a comma, or the object's end",
		`{"state":{"a":tru}}`:                  "not valid JSON",
		`{"state":{"a":1]}`:                    "not valid JSON",
		`{"state":[}`:                          "a comma, or the object's end",
		`{"state":[1,2`:                        "the end of an object or array",
		`{"state":1,"state_base64":"MQ=="}`:    "exclude each other",
		`{"state_base64":"e"}`:                 "illegal base64",
		`{"state_base64":"ew=="}`:              "not valid JSON",
		`{` + many.String() + `"cursor":"x"}`:  "more than 32 fields",
		`{"state":` + strings.Repeat("[", 1e5): "the end of an object or array",
	} {
		_, err := parsed(line)
		assert.ErrorContains(t, err, says, "%.100s", line)
	}
}

// FuzzFields compares the scanner with encoding/json: what the scanner accepts, encoding/json
// accepts with the same values.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		`{"method":"mark","session":1,"cursor":"ord-1","processed":1,"failed":0,"state":{"a":[1.0,"x"]}}`,
		`{"cursor":"\ud83d\ude00\\","state":null}`, `{"id":7,"cursor":"a"}`, `{}`, `{"state":"}"}`, "{\"a\":1\r}", `{"state_base64":"e30="}`,
		`{"cursor":"\ud800"}`, `{"cursor":"\"`, `{"processed":18446744073709551616}`, `{"id":"\u0022"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return // a line end would make two lines
		}
		kept := bytes.Clone(line)
		var all fields
		if err := all.scan(line); err != nil {
			return
		}
		_, session := all.text("method"), all.whole("session", 0, 0, 1<<53)
		id, m := all.id("id"), takeMark(&all)
		coded := all.has("state_base64")
		err := all.end()
		require.Equal(t, kept, line, "the line was changed")
		if err != nil {
			return
		}
		require.True(t, utf8.Valid(line))
		var want map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(line, &want), "%q", line)
		require.Len(t, want, len(all.all))
		var cursor string
		if raw, there := want["cursor"]; there {
			require.NoError(t, json.Unmarshal(raw, &cursor))
			again, err := json.Marshal(m.cursor)
			require.NoError(t, err)
			var back string
			require.NoError(t, json.Unmarshal(again, &back))
			require.Equal(t, m.cursor, back, "a cursor comes back as it was")
		}
		require.Equal(t, cursor, m.cursor)
		for name, got := range map[string]int64{"session": session, "processed": m.processed, "failed": m.failed} {
			var n int64
			if raw, there := want[name]; there {
				require.NoError(t, json.Unmarshal(raw, &n))
			}
			require.Equal(t, n, got, name)
		}
		if !coded {
			require.Equal(t, string(bytes.TrimSpace(want["state"])), string(m.state))
		} else {
			require.True(t, json.Valid(m.state))
		}
		require.Equal(t, string(want["id"]), string(id))
	})
}

func TestALineOfAnyLengthTakesBoundedMemory(t *testing.T) {
	const most, length = 1 << 20, 1 << 30
	lines := newLineReader(io.MultiReader(
		strings.NewReader("one\r\n"),
		io.LimitReader(endless{}, length), strings.NewReader("\ntwo\n\n"),
		io.LimitReader(endless{}, most-1), strings.NewReader("\n"),
		io.LimitReader(endless{}, most), strings.NewReader("\n"),
		strings.NewReader("three"),
	), most)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	next := func() string {
		line, err := lines.next()
		require.NoError(t, err)
		return string(line)
	}
	assert.Equal(t, "one\r", next())
	_, err := lines.next()
	require.ErrorIs(t, err, errLongLine)
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*most))
	assert.Equal(t, "two", next())
	assert.Empty(t, next())
	assert.Len(t, next(), most-1)
	_, err = lines.next()
	require.ErrorIs(t, err, errLongLine)
	assert.Equal(t, "three", next(), "a last line needs no line end")
	_, err = lines.next()
	assert.Equal(t, io.EOF, err)
}

// endless is a reader that returns x without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, many), nil }

var many = bytes.Repeat([]byte("x"), 1<<16)

func BenchmarkFields(b *testing.B) {
	line := []byte(`{"method":"mark","session":1,"cursor":"ord-88123","processed":1,"failed":0,"state":{"sum":12.5,"rows":100}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	var f fields
	for b.Loop() {
		if err := f.scan(line); err != nil {
			b.Fatal(err)
		}
		if f.text("method") != "mark" || f.whole("session", 0, 1, 1<<53) != 1 {
			b.Fatal("not read")
		}
		takeMark(&f)
		if err := f.end(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFieldsByEncodingJSON measures what the scanner replaces.
func BenchmarkFieldsByEncodingJSON(b *testing.B) {
	line := []byte(`{"method":"mark","session":1,"cursor":"ord-88123","processed":1,"failed":0,"state":{"sum":12.5,"rows":100}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		var m struct {
			Method    string          `json:"method"`
			Session   int64           `json:"session"`
			Cursor    string          `json:"cursor"`
			Processed int64           `json:"processed"`
			Failed    int64           `json:"failed"`
			State     json.RawMessage `json:"state"`
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			b.Fatal(err)
		}
	}
}
