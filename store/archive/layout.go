package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/milepost-dev/milepost/store"
)

const (
	bodies   = "body/"
	versions = "v/"
	latest   = "latest.json"

	versionDigits = 20
	// MaxCommitID is the most bytes of a commit id in a key.
	MaxCommitID = 64
)

// LongestKey is the length in bytes of the longest key that this package makes. An engine whose
// root is a prefix refuses a prefix that leaves no room for it. So lengths are checked when an
// archive is opened, not when a state is saved.
const LongestKey = len(versions) + store.MaxNamespace + 1 + store.MaxName + 1 +
	versionDigits + 1 + 19 + 1 + MaxCommitID + len(".json")

// ID names one committed version of a checkpoint, even across the loss of a table: then version
// numbers start again, and epochs do not.
type ID struct {
	Version  int64
	Epoch    int64 // of the commit
	CommitID string
}

// IDOf returns the ID of a version.
func IDOf(v *store.Version) ID {
	return ID{Version: v.Number, Epoch: v.CommitEpoch, CommitID: v.CommitID}
}

func (id ID) String() string {
	return fmt.Sprintf("version %d of epoch %d (commit %s)", id.Version, id.Epoch, id.CommitID)
}

// BodyID names the body of one version.
type BodyID struct {
	Home     string // of the store that made it, see [Home]
	Version  int64
	CommitID string
}

// homeDigits is the length of a home.
const homeDigits = 8

// Home is what the keys of a store's bodies begin with: a hash of the store's address. So no store
// takes the bodies of another store for its own, not even those of its own copy.
func Home(st store.Store) string {
	sum := sha256.Sum256([]byte(st.Address()))
	return hex.EncodeToString(sum[:])[:homeDigits]
}

func (id BodyID) validate() error {
	if !validHome(id.Home) {
		return fmt.Errorf("home %.80q: %w: it must have %d hexadecimal digits", id.Home, ErrKey, homeDigits)
	}
	return ValidateCommitID(id.CommitID)
}

func validHome(home string) bool {
	return len(home) == homeDigits && strings.Trim(home, "0123456789abcdef") == ""
}

// BodyPrefix is what the keys of a checkpoint's bodies begin with. A listing with a delimiter shows
// no body of another checkpoint, whose name may go on with a slash.
func BodyPrefix(key store.Key) string { return bodies + key.Namespace + "/" + key.Name + "/" }

// BodyKey is the key of the body of one version.
func BodyKey(key store.Key, id BodyID) string {
	return BodyPrefix(key) + id.Home + "-" + strconv.FormatInt(id.Version, 10) + "-" + id.CommitID
}

// VersionPrefix is what the keys of a checkpoint's mirror begin with. As with [BodyPrefix], list it
// with a delimiter.
func VersionPrefix(key store.Key) string { return versions + key.Namespace + "/" + key.Name + "/" }

// VersionKey is the key of the mirror's object of one version.
func VersionKey(key store.Key, id ID) string {
	return fmt.Sprintf("%s%0*d-%d-%s.json", VersionPrefix(key), versionDigits, id.Version, id.Epoch, id.CommitID)
}

// LatestKey is the key of latest.json, the copy of a checkpoint's newest mirrored version.
func LatestKey(key store.Key) string { return VersionPrefix(key) + latest }

// ParseBodyKey takes apart a key that [BodyKey] makes. Any other key is an error.
func ParseBodyKey(object string) (store.Key, BodyID, error) {
	key, last, err := splitKey(object, bodies)
	if err != nil {
		return store.Key{}, BodyID{}, err
	}
	home, rest, _ := strings.Cut(last, "-")
	version, commit, _ := strings.Cut(rest, "-")
	id := BodyID{Home: home, CommitID: commit}
	if id.Version, err = parseNumber(version); err != nil || !validHome(home) || ValidateCommitID(commit) != nil || BodyKey(key, id) != object {
		return store.Key{}, BodyID{}, foreign(object, "no home, version and commit id")
	}
	return key, id, nil
}

// ParseVersionKey takes apart a key that [VersionKey] makes. Any other key is an error.
func ParseVersionKey(object string) (store.Key, ID, error) {
	key, last, err := splitKey(object, versions)
	if err != nil {
		return store.Key{}, ID{}, err
	}
	bad := foreign(object, "no version, commit epoch and commit id")
	last, ok := strings.CutSuffix(last, ".json")
	parts := strings.SplitN(last, "-", 3)
	if !ok || len(parts) != 3 {
		return store.Key{}, ID{}, bad
	}
	id := ID{CommitID: parts[2]}
	if id.Version, err = parseNumber(parts[0]); err != nil {
		return store.Key{}, ID{}, bad
	}
	if id.Epoch, err = parseNumber(parts[1]); err != nil {
		return store.Key{}, ID{}, bad
	}
	if ValidateCommitID(id.CommitID) != nil || VersionKey(key, id) != object {
		return store.Key{}, ID{}, bad
	}
	return key, id, nil
}

// parseNumber parses a version or an epoch. One that no store can have is an error.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (n < 1 || n > store.MaxNumber) {
		err = fmt.Errorf("%d is not from 1 to %d", n, int64(store.MaxNumber))
	}
	return n, err
}

// ValidateCommitID returns an error that wraps [ErrKey] if a commit id cannot be part of a key. It
// has 1 to [MaxCommitID] letters, digits, '-' and '_'.
func ValidateCommitID(id string) error {
	ok := len(id) >= 1 && len(id) <= MaxCommitID
	for i := range len(id) {
		c := id[i]
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("commit id %.80q: %w: it must have 1 to %d letters, digits, '-' and '_'",
			id, ErrKey, MaxCommitID)
	}
	return nil
}

// splitKey splits an object's key into the checkpoint and the last segment.
func splitKey(object, root string) (key store.Key, last string, err error) {
	rest, ok := strings.CutPrefix(object, root)
	if !ok {
		return key, "", foreign(object, "no "+root)
	}
	namespace, rest, _ := strings.Cut(rest, "/")
	slash := strings.LastIndexByte(rest, '/')
	if slash < 0 {
		return key, "", foreign(object, "no checkpoint's name")
	}
	key = store.Key{Namespace: namespace, Name: rest[:slash]}
	if err := key.Validate(); err != nil {
		return store.Key{}, "", fmt.Errorf("object key %.80q: %w: %w", object, ErrKey, err)
	}
	return key, rest[slash+1:], nil
}

func foreign(object, why string) error {
	return fmt.Errorf("object key %.80q: %w: %s in it", object, ErrKey, why)
}
