package data_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheFlightsAreWhatTheREADMESays(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	compressed, err := os.ReadFile("flights.jsonl.zst")
	require.NoError(t, err)
	decoder, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer decoder.Close()
	text, err := decoder.DecodeAll(compressed, nil)
	require.NoError(t, err)

	assert.Contains(t, string(readme), checksum(compressed)+"  flights.jsonl.zst\n")
	assert.Contains(t, string(readme), checksum(text)+"  flights.jsonl\n")

	number, last := 0, ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var flight struct {
			ID   int
			Date string
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &flight), "line %d", number+1)
		number++
		require.Equal(t, number, flight.ID)
		require.GreaterOrEqual(t, flight.Date, last, "line %d", number)
		last = flight.Date
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, 100_000, number)
	assert.Equal(t, "2001-01-07T08:40", last)
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
