package places

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStoreURLs(t *testing.T) {
	for text, want := range map[string]Store{
		"sqlite:jobs.db":         {Path: "jobs.db"},
		"sqlite:/var/lib/a b.db": {Path: "/var/lib/a b.db"},
		"sqlite:///var/jobs.db":  {Path: "///var/jobs.db"},
		"dynamodb://milepost":    {Table: "milepost"},
		"dynamodb://milepost?region=eu-west-1&endpoint=http%3A%2F%2Flocalhost%3A8000&profile=ops": {
			Table: "milepost", Region: "eu-west-1", Endpoint: "http://localhost:8000", Profile: "ops"},
		"dynamodb://milepost?endpoint=http://localhost:8000":           {Table: "milepost", Endpoint: "http://localhost:8000"},
		"dynamodb://arn:aws:dynamodb:eu-west-1:123456789012:table/abc": {Table: "arn:aws:dynamodb:eu-west-1:123456789012:table/abc"},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParseStore(text)
			require.NoError(t, err)
			assert.Equal(t, want, got)
			again, err := ParseStore(got.String())
			require.NoError(t, err)
			assert.Equal(t, want, again, "the URL as it is printed")
		})
	}
}

func TestBadStoreURLsSayWhatToWrite(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "unknown kind of store",
		"jobs.db":                                "unknown kind of store",
		"postgres://x":                           "unknown kind of store",
		"memory:":                                "nothing could be resumed from it",
		"sqlite:":                                "the path of the file is missing",
		"sqlite::memory:":                        "name a plain path",
		"sqlite:file:jobs.db?mode=ro":            "name a plain path",
		"sqlite://jobs.db":                       "sqlite:jobs.db",
		"dynamodb:milepost":                      "two slashes are missing",
		"dynamodb://":                            "is not a table name",
		"dynamodb://ab":                          "is not a table name",
		"dynamodb://a/b/c":                       "is not a table name",
		"dynamodb://milepost?regoin=eu-west-1":   `unknown parameter "regoin"`,
		"dynamodb://milepost?region=":            "needs exactly one value",
		"dynamodb://milepost?region=a&region=b":  "needs exactly one value",
		"dynamodb://milepost?endpoint=localhost": "is not a URL",
		"dynamodb://milepost?%zz":                "invalid URL escape",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := ParseStore(text)
			require.ErrorContains(t, err, want)
		})
	}
}
