package places

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
)

func TestArchiveURLsAreReadAndWrittenAlike(t *testing.T) {
	for _, text := range []string{
		"none", "file:dir", "file:/var/lib/x", "file:dir?mirror=sessions", "s3://bucket", "s3://bucket/a/b", "s3://bucket/p?region=eu-west-1&profile=x",
		"s3://bucket/p?endpoint=http://localhost:9000", "s3://bucket/p?endpoint=https://x&path_style=false&mirror=off", "s3://bucket?path_style=true",
	} {
		u, err := ParseArchive(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, u.String())
	}
	u, err := ParseArchive("s3://bucket/p/?mirror=every")
	require.NoError(t, err)
	assert.Equal(t, Archive{Bucket: "bucket", Prefix: "p", Mirror: checkpoint.MirrorEvery}, u)
	for _, text := range []string{
		"dir", "file:", "file://dir", "s3:bucket", "s3://", "s3://b", "s3:///p", "s3://a b/p", "s3://bucket/p?regio=x", "s3://bucket?region=", "s3://bucket?region=a&region=b",
		"s3://bucket?endpoint=localhost:9000", "s3://bucket?mirror=some", "s3://bucket?path_style=maybe", "file:dir?region=x", "ftp://x", "s3://bucket?%zz",
	} {
		_, err := ParseArchive(text)
		assert.Error(t, err, text)
	}
}
