package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/milepost-dev/milepost/store"
)

// watched is one of the three files, as the connections have it open.
type watched struct {
	path string
	file fs.FileInfo
}

// watch remembers the three files that the connections have open.
func (s *Store) watch() error {
	for _, path := range []string{s.path, s.real + logSuffix, s.real + indexSuffix} {
		file, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s was removed while the file is in use; end the programs that use it, and open it again", store.ErrUnavailable, path)
		}
		if err != nil {
			return err
		}
		s.watched = append(s.watched, watched{path, file})
	}
	return nil
}

// moved returns an error if one of the three files is no longer the one that the connections have
// open: what is written to such a file is lost with the last process. c is a connection from
// before, or nil.
//
// Each write calls moved, once it has the lock. It costs three calls of stat.
func (s *Store) moved(ctx context.Context, c *conn) (err error) {
	defer func() {
		if err != nil {
			s.told.Store(true)
		}
	}()
	if gone := s.gone.Load(); gone != nil {
		return *gone
	}
	for i, w := range s.watched {
		now, err := os.Stat(w.path)
		what := "replaced by another file"
		switch {
		case err == nil && os.SameFile(now, w.file):
			continue
		case errors.Is(err, fs.ErrNotExist):
			what = "removed or renamed"
		case err != nil:
			return fmt.Errorf("%w: cannot see whether %s is the file that was opened: %w", store.ErrUnavailable, w.path, err)
		}
		if i == 0 {
			return fmt.Errorf("%w: %w: the file was %s after it was opened; %s", store.ErrUnavailable, store.ErrReplaced, what, s.savedLast())
		}
		if c == nil {
			return fmt.Errorf("%s was %s after it was opened", w.path, what)
		}
		lost := "no version is lost: the log has them all"
		if strings.HasSuffix(w.path, logSuffix) {
			lost = s.lostWithLog(context.WithoutCancel(ctx), c)
		}
		gone := fmt.Errorf("%w: %s was %s after it was opened, so nothing more is saved here: %s; end the programs that use the file, and start this one again",
			store.ErrReplaced, w.path, what, lost)
		s.gone.CompareAndSwap(nil, &gone)
		return *s.gone.Load()
	}
	return nil
}

// savedLast says where the last versions are when the file is no longer in its place.
func (s *Store) savedLast() string {
	for _, w := range s.watched {
		if now, err := os.Stat(w.path); w.path == s.real+logSuffix && (err != nil || !os.SameFile(now, w.file)) {
			return "its log " + w.path + " is not there either, so what only the log had is lost"
		}
	}
	return "what was saved last is in " + s.real + logSuffix + ", which belongs to it"
}

// mostLost bounds a message.
const mostLost = 10

// lostWithLog says which versions c finds, with the log that it has open, and the file alone does
// not have.
func (s *Store) lostWithLog(ctx context.Context, c *conn) string {
	ours, err := c.heads(ctx)
	if err != nil {
		return "the versions that only the log had are lost; they cannot be read: " + err.Error()
	}
	kept := map[store.Key]headline{}
	if file, err := s.connect(ctx, immutable); err == nil {
		if heads, err := file.heads(ctx); err == nil {
			for _, h := range heads {
				kept[h.key] = h
			}
		}
		_ = file.close()
	}
	var lost []string
	for _, h := range ours {
		k := kept[h.key]
		first := max(k.version+1, h.born)
		switch {
		case h.version == 0 || h.version == k.version && h.commitID == k.commitID:
		case first < h.version:
			lost = append(lost, fmt.Sprintf("%s versions %d to %d", h.key, first, h.version))
		default:
			lost = append(lost, fmt.Sprintf("%s version %d", h.key, h.version))
		}
	}
	if len(lost) == 0 {
		return "no version is lost: the file has them all"
	}
	if n := len(lost) - mostLost; n > 0 {
		lost = append(lost[:mostLost], fmt.Sprintf("and those of %d more checkpoints", n))
	}
	return "only this log had " + strings.Join(lost, ", ")
}

// headline says which version a checkpoint is at.
type headline struct {
	key           store.Key
	version, born int64
	commitID      string
}

func (c *conn) heads(ctx context.Context) ([]headline, error) {
	found, err := c.rows(ctx, "SELECT ns, name, version, born, commit_id FROM milepost_head ORDER BY ns, name")
	if err != nil {
		return nil, err
	}
	var all []headline
	for _, r := range found {
		h := headline{store.Key{Namespace: r.text("ns"), Name: r.text("name")}, r.int("version"), r.int("born"), r.text("commit_id")}
		if r.err == nil { // a damaged record has no say here
			all = append(all, h)
		}
	}
	return all, nil
}
