package places

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
)

// Archive names an archive, as --archive and MILEPOST_ARCHIVE do. At most one of Dir and Bucket is
// set. If neither is, no archive is wanted.
type Archive struct {
	Dir string // file:DIR

	Bucket   string // s3://BUCKET/PREFIX?…
	Prefix   string // without slashes at its ends
	Region   string
	Endpoint string
	Profile  string

	// PathStyle puts the bucket into the path of a request, not before the host's name.
	PathStyle bool

	Mirror checkpoint.MirrorPolicy
}

const archiveForms = "write s3://BUCKET/PREFIX?region=…&endpoint=…&profile=…, file:DIR, or none"

// bucketName allows what S3 and servers like it take as a name.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$`)

var mirrorPolicies = map[string]checkpoint.MirrorPolicy{
	"every": checkpoint.MirrorEvery, "sessions": checkpoint.MirrorSessions, "off": checkpoint.MirrorOff,
}

// ParseArchive reads the name of an archive. Its errors say what to write.
func ParseArchive(text string) (Archive, error) {
	fail := func(why string) (Archive, error) { return Archive{}, fmt.Errorf("archive %q: %s", text, why) }
	if text == "none" {
		return Archive{}, nil
	}
	place, query, _ := strings.Cut(text, "?")
	var u Archive
	allowed := []string{"mirror"}
	scheme, rest, _ := strings.Cut(place, ":")
	switch scheme {
	case "file":
		switch {
		case rest == "":
			return fail("the directory is missing: " + archiveForms)
		case strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///"):
			return fail("the directory follows the colon directly: write file:" + strings.TrimPrefix(rest, "//"))
		}
		u.Dir = rest
	case "s3":
		allowed = append(allowed, "region", "endpoint", "profile", "path_style")
		rest, ok := strings.CutPrefix(rest, "//")
		if !ok {
			return fail("two slashes are missing: " + archiveForms)
		}
		u.Bucket, u.Prefix, _ = strings.Cut(rest, "/")
		u.Prefix = strings.Trim(u.Prefix, "/")
		if !bucketName.MatchString(u.Bucket) {
			return fail(fmt.Sprintf("%q is not a bucket name: %s", u.Bucket, archiveForms))
		}
	default:
		return fail("unknown kind of archive: " + archiveForms)
	}
	params, err := parameters(query, "http://localhost:9000", archiveForms, allowed...)
	if err != nil {
		return fail(err.Error())
	}
	u.Region, u.Endpoint, u.Profile = params.Get("region"), params.Get("endpoint"), params.Get("profile")
	// Few S3 servers except AWS accept the bucket in the host name.
	u.PathStyle = u.Endpoint != ""
	if text := params.Get("path_style"); text != "" {
		if u.PathStyle, err = strconv.ParseBool(text); err != nil {
			return fail(fmt.Sprintf("path_style is %q: write true or false", text))
		}
	}
	if text := params.Get("mirror"); text != "" {
		var ok bool
		if u.Mirror, ok = mirrorPolicies[text]; !ok {
			return fail(fmt.Sprintf("mirror is %q: write every, sessions or off", text))
		}
	}
	return u, nil
}

// None reports whether no archive is wanted.
func (u Archive) None() bool { return u.Dir == "" && u.Bucket == "" }

// String returns the URL that names the archive.
func (u Archive) String() string {
	if u.None() {
		return "none"
	}
	s := "file:" + u.Dir
	if u.Bucket != "" {
		s = "s3://" + u.Bucket
		if u.Prefix != "" {
			s += "/" + u.Prefix
		}
	}
	params := [][2]string{{"region", u.Region}, {"endpoint", u.Endpoint}, {"profile", u.Profile}}
	if u.PathStyle != (u.Endpoint != "") {
		params = append(params, [2]string{"path_style", strconv.FormatBool(u.PathStyle)})
	}
	for name, policy := range mirrorPolicies {
		if policy == u.Mirror && policy != checkpoint.MirrorEvery {
			params = append(params, [2]string{"mirror", name})
		}
	}
	return s + queryOf(params)
}
